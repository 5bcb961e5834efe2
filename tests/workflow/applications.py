"""Applications with a secret: every engine with every strategy, on a real server, and the machine that rotates it."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rotation.model import Credentials
from rotatorctl.local.secrets_manager import SILENCES, Silences
from tests.contract.worlds import World as Server
from tests.workflow.conftest import RotatedSecret, create_secret
from tests.workflow.machine import ADMIN, running

SINGLE, BY_ADMIN, ALTERNATING = "single user", "single user, by the admin", "alternating users"


@dataclass(frozen=True)
class Case:
    """One engine with one strategy. `overlap`: the password before goes on working until the next rotation."""

    kind: str
    strategy: str
    overlap: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}, {self.strategy}" + "".join(f", {tag}={value}" for tag, value in self.tags.items())


CASES = (
    Case("postgres", SINGLE),
    Case("postgres", BY_ADMIN),
    Case("postgres", ALTERNATING, overlap=True),
    Case("mariadb", SINGLE),
    Case("mariadb", BY_ADMIN, overlap=True),
    Case("mariadb", BY_ADMIN, tags={"rotation:two-passwords": "off"}),
    Case("mariadb", ALTERNATING, overlap=True),
    Case("mongo", SINGLE),
    Case("mongo", BY_ADMIN),
    Case("mongo", ALTERNATING, overlap=True),
    Case("redis", SINGLE, overlap=True),
    Case("redis", BY_ADMIN, overlap=True),
)


def cases(chosen: Callable[[Case], bool]) -> list[Any]:
    """Those cases as parameters; what runs on one kind of server runs in one process."""
    marked = ((case, pytest.mark.xdist_group(case.kind)) for case in CASES if chosen(case))
    return [pytest.param(case, marks=group, id=str(case)) for case, group in marked]


@dataclass
class Application(RotatedSecret):
    """An application's secret in its second year, the machine that rotates it, and the server behind it."""

    case: Case
    server: Server
    first: Credentials
    admin: Credentials

    def credentials(self, stage: str = "AWSCURRENT") -> Credentials:
        value = self.value(stage)
        return replace(self.first, username=value["username"], password=value["password"])

    def refused(self) -> dict[str, int]:
        """How many log-ins of its users and of the admin the server has refused so far."""
        users = {self.first.username, f"{self.first.username}_clone", self.admin.username}
        return {user: self.server.refused(user) for user in users}

    @contextmanager
    def refusing(self, most: dict[str, int]) -> Iterator[None]:
        """The server refuses these users at most that many log-ins in the block, and no other user any."""
        before = self.refused()
        yield
        refused = {user: count - before[user] for user, count in self.refused().items()}
        assert {user: count for user, count in refused.items() if count > most.get(user, 0)} == {}


def _kept(case: Case, user: Credentials) -> dict[str, Any]:
    kept = {"engine": case.kind, "host": user.host, "port": str(user.port), "ssl": user.ssl, "team": ["payments"]}
    return kept | ({"dbname": user.dbname} if user.dbname else {})


def admin_value(case: Case, admin: Credentials, like: Credentials) -> str:
    """The value of the secret of the admin who changes `like`."""
    return json.dumps(_kept(case, like) | {"username": admin.username, "password": admin.password})


def value_of(case: Case, user: Credentials, admin_arn: str) -> str:
    """The value of the application's secret."""
    by_admin = {"masterarn": admin_arn} if case.strategy != SINGLE else {}
    return json.dumps(_kept(case, user) | {"username": user.username, "password": user.password} | by_admin)


def tags_of(case: Case) -> dict[str, str]:
    return case.tags | ({"rotation:strategy": "single-user"} if case.strategy == BY_ADMIN else {})


@contextmanager
def rotating(
    case: Case, server: Server, definition: dict[str, Any], silences: Silences = SILENCES["defaults"]
) -> Iterator[Application]:
    """A new user and its admin on the server, their secrets, and the machine with this definition."""
    first = server.user(f"app-{secrets.token_hex(4)}")
    admin = server.admin(first)
    with running(silences, definition) as machine:
        admin_arn = create_secret(machine, "admin", admin_value(case, admin, first), ADMIN)
        arn = create_secret(machine, "payments/db", value_of(case, first, admin_arn), tags_of(case))
        application = Application(machine, arn, case, server, first, admin)
        (version,) = application.stages()
        machine.secrets_manager.update_secret_version_stage(
            SecretId=application.arn, VersionStage="GOLDEN", MoveToVersionId=version
        )
        yield application
