"""The deployed machine with every other engine: what is packaged is enough, and a new secret needs no deployment."""

import json
import secrets
from dataclasses import replace
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


@pytest.mark.parametrize(
    ("engine", "strategy"),
    [("mariadb", ALTERNATING), ("mariadb", SINGLE), ("mongo", ALTERNATING), ("redis", SINGLE)],
)
def test_the_deployed_machine_rotates_a_user_of_every_engine(deployed: Deployed, engine: str, strategy: str) -> None:
    server = deployed.others[engine]
    first = server.user(f"app-{secrets.token_hex(4)}")
    admin = create(deployed, json.dumps(fields(engine, server.admin(first))), {"rotation:admin": STACK_NAME})
    value = fields(engine, first) | {"masterarn": admin.arn}
    secret = create(deployed, json.dumps(value), {"rotation:strategy": strategy})

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
