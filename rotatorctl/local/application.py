"""One application of the offline stack: its user of the PostgreSQL, its secret, and which of its passwords log in."""

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rotation.redaction import conceal
from rotatorctl.local.login import LETS_IN, REFUSES
from rotatorctl.local.postgresql import PostgreSQL

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

USER, SECRET, MAIL = "orders", "shop/orders-db", "platform-team@example.com"
# Of `local up`: a secret that logs in and is not under rotation, to be onboarded.
WAITING_USER, WAITING_SECRET = "ledger", "shop/ledger-db"


class LogInNotTriedError(Exception):
    """The client could not find out whether a password logs in; its own words are on standard error."""


@dataclass
class Application:
    """A secret, and passwords that it has held, known by what they were. `ca_pem` is the server's authority."""

    secrets: "SecretsManagerClient" = field(repr=False)
    arn: str
    ca_pem: str = field(repr=False)
    _passwords: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def created(
        cls, client: "SecretsManagerClient", database: PostgreSQL, user: str = USER, secret: str = SECRET
    ) -> Self:
        """A user on the database, and a secret for it that is not under rotation yet."""
        password = secrets.token_urlsafe(18)
        database.create_user(user, password)
        value = {
            "engine": "postgres",
            "host": "127.0.0.1",
            "port": database.port,
            "username": user,
            "password": password,
        }
        arn = client.create_secret(Name=secret, SecretString=json.dumps(value))["ARN"]
        return cls(client, arn, database.ca_pem)

    def remember(self, name: str, stage: str) -> bool:
        """Know the password of the version with that label by this name. False if there is none."""
        try:
            value = self.secrets.get_secret_value(SecretId=self.arn, VersionStage=stage)["SecretString"]
        except self.secrets.exceptions.ResourceNotFoundException:
            return False
        self._passwords[name] = json.loads(value)["password"]
        conceal(self._passwords[name])
        return True

    def logs_in(self, name: str) -> bool:
        """Whether the server lets a process of its own in with that password. Raises LogInNotTriedError."""
        value = json.loads(self.secrets.get_secret_value(SecretId=self.arn)["SecretString"])
        credentials = value | {"password": self._passwords[name], "ca": self.ca_pem}
        command = [sys.executable, "-m", "rotatorctl.local.login"]
        client = subprocess.run(command, input=json.dumps(credentials), text=True, check=False)
        if client.returncode not in (LETS_IN, REFUSES):
            raise LogInNotTriedError(f"the client that logs in with {name} ended with {client.returncode}")
        return client.returncode == LETS_IN

    def quoted_in(self, text: str) -> bool:
        """Whether one of the passwords stands in a text."""
        return any(password in text for password in self._passwords.values())

    @property
    def labels(self) -> dict[str, list[str]]:
        """The versions that have any, each with its labels."""
        return self.secrets.describe_secret(SecretId=self.arn)["VersionIdsToStages"]
