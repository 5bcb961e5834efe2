"""The deployed machine with every other engine: what is packaged and allowed is enough to rotate, put back and tell.

A new secret needs no deployment.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rotation.model import Credentials
from rotatorctl.local.stack import STACK_NAME
from tests.integration.conftest import Deployed, DeployedSecret

pytestmark = pytest.mark.xdist_group("offline stack")


def create(deployed: Deployed, value: str, tags: dict[str, str]) -> DeployedSecret:
    pairs: list[Any] = [{"Key": key, "Value": each} for key, each in tags.items()]
    made = deployed.stack.secrets.create_secret(Name=f"it/{secrets.token_hex(4)}", SecretString=value, Tags=pairs)
    return DeployedSecret(deployed, made["ARN"], "", value)


def fields(engine: str, user: Credentials) -> dict[str, Any]:
    found = {"engine": engine, "host": user.host, "port": user.port, "username": user.username}
    return found | {"password": user.password} | ({"dbname": user.dbname} if user.dbname else {})


SINGLE, ALTERNATING = "single-user", "alternating-users"


def application(deployed: Deployed, engine: str, tags: dict[str, str]) -> tuple[Credentials, DeployedSecret]:
    """A new user of that engine's server, whose secret names an admin's."""
    server = deployed.others[engine]
    first = server.user(f"app-{secrets.token_hex(4)}")
    admin = create(deployed, json.dumps(fields(engine, server.admin(first))), {"rotation:admin": STACK_NAME})
    return first, create(deployed, json.dumps(fields(engine, first) | {"masterarn": admin.arn}), tags)


@pytest.mark.parametrize(
    ("engine", "strategy"),
    [("mariadb", ALTERNATING), ("mariadb", SINGLE), ("mongo", ALTERNATING), ("redis", SINGLE)],
)
def test_the_deployed_machine_rotates_a_user_of_every_engine(deployed: Deployed, engine: str, strategy: str) -> None:
    server = deployed.others[engine]
    first, secret = application(deployed, engine, {"rotation:strategy": strategy})

    secret.rotate()

    assert secret.outcome() == "RotationSucceeded"
    now = json.loads(deployed.stack.secrets.get_secret_value(SecretId=secret.arn)["SecretString"])
    assert now["username"] == first.username + ("_clone" if strategy == ALTERNATING else "")
    assert server.logs_in(replace(first, username=now["username"], password=now["password"]))
    assert not server.logs_in(replace(first, password=now["password"])) or strategy == SINGLE
    assert server.logs_in(first)


def test_the_deployed_machine_rotates_a_plain_string(deployed: Deployed) -> None:
    secret = create(deployed, "first", {"rotation:engine": "generic", "rotation:generator": "hmac-sha256"})

    secret.rotate()

    assert secret.outcome() == "RotationSucceeded"
    assert deployed.stack.secrets.get_secret_value(SecretId=secret.arn)["SecretString"] != "first"


@dataclass(frozen=True)
class Failed:
    """Attempts whose FinishSecret was throttled, one of each engine, as they ended."""

    secrets: Mapping[str, DeployedSecret]
    users: Mapping[str, Credentials]
    ended: Mapping[str, str]
    mails: list[Any]

    def of(self, engine: str) -> tuple[str, list[Any]]:
        """The outcome, and the mails on it."""
        (execution,) = self.secrets[engine].executions()
        mails = [mail for mail in self.mails if self.secrets[engine].arn in mail.get_content().replace("\n", "")]
        return json.loads(execution["cause"])["Outcome"], mails


@pytest.fixture(scope="module")
def failed(deployed: Deployed) -> Failed:
    """All at once, because an attempt mostly waits."""
    one_password = {"rotation:strategy": SINGLE, "rotation:two-passwords": "off"}
    made = {engine: application(deployed, engine, one_password) for engine in ("mariadb", "mongo")}
    made["redis"] = application(deployed, "redis", {})
    attempts = {engine: secret for engine, (_, secret) in made.items()}
    attempts["generic"] = create(deployed, "first", {"rotation:engine": "generic"})
    deployed.new_mails()
    with deployed.throttled("FinishSecretFunction"):
        for secret in attempts.values():
            secret.rotate()
        ended = {engine: secret.outcome() for engine, secret in attempts.items()}
    return Failed(attempts, {engine: user for engine, (user, _) in made.items()}, ended, deployed.new_mails())


@pytest.mark.parametrize("engine", ["mariadb", "mongo"])
def test_the_deployed_machine_gives_a_user_of_one_password_the_old_one_back_and_tells_once(
    deployed: Deployed, failed: Failed, engine: str
) -> None:
    user, pending = failed.users[engine], failed.secrets[engine].password("AWSPENDING")
    outcome, (mail,) = failed.of(engine)

    assert (failed.ended[engine], outcome) == ("RotationFailed", "rolled back")
    assert replace(user, password=failed.secrets[engine].password()) == user
    assert deployed.others[engine].logs_in(user)
    assert not deployed.others[engine].logs_in(replace(user, password=pending))
    assert mail["Subject"].startswith("Rotation failed, the old credential is restored: it/")


def test_the_deployed_machine_has_nothing_to_put_back_where_both_passwords_log_in_and_tells_once(
    deployed: Deployed, failed: Failed
) -> None:
    user, pending = failed.users["redis"], failed.secrets["redis"].password("AWSPENDING")
    outcome, (mail,) = failed.of("redis")

    assert (failed.ended["redis"], outcome) == ("RotationFailed", "untouched")
    assert replace(user, password=failed.secrets["redis"].password()) == user
    assert deployed.others["redis"].logs_in(user)
    assert deployed.others["redis"].logs_in(replace(user, password=pending))
    assert mail["Subject"].startswith("Rotation failed, nothing changed: it/")


def test_the_deployed_machine_leaves_a_plain_string_as_it_is_and_tells_once(deployed: Deployed, failed: Failed) -> None:
    outcome, (mail,) = failed.of("generic")

    assert (failed.ended["generic"], outcome) == ("RotationFailed", "untouched")
    assert deployed.stack.secrets.get_secret_value(SecretId=failed.secrets["generic"].arn)["SecretString"] == "first"
    assert mail["Subject"].startswith("Rotation failed, nothing changed: it/")
