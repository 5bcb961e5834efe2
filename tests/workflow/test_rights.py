"""TestSecret proves more than a log-in: what the other user may do, and what the tag `rotation:reads` names."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.workflow.conftest import World, create_secret
from tests.workflow.machine import ADMIN


@pytest.fixture
def table(world: World) -> str:
    """A table that the application may not read."""
    name = f"orders_{secrets.token_hex(4)}"
    with world.server.admin() as admin:
        admin.run(f"CREATE TABLE {name} (id int)")
    return name


def test_a_table_that_the_application_may_not_read_stops_the_rotation_and_is_named(world: World, table: str) -> None:
    world.tag("rotation:reads", f"pg_catalog.pg_class public.{table}")

    assert world.rotate() == "RotationFailed"

    step, error, words = world.reason()
    assert (step, error) == ("TestSecret", "RightsDifferError")
    assert f"permission denied for table {table}" in words
    assert world.outcomes() == ["rolled back"]
    assert world.logs_in(world.old)


def test_a_table_that_it_may_read_lets_the_rotation_pass(world: World, table: str) -> None:
    with world.server.admin() as admin:
        admin.run(f'GRANT SELECT ON {table} TO "{world.user}"')
    world.tag("rotation:reads", f"public.{table}")

    assert world.rotate() == "RotationSucceeded"


def test_the_log_in_test_reads_too(world: World, table: str) -> None:
    world.tag("rotation:reads", f"public.{table}")

    assert world.rotate(RotateImmediately=False) == "TestRotationFailed"

    assert world.outcomes() == ["RightsDifferError"]


@pytest.mark.parametrize(
    ("name", "value"), [("rotation:generator", "pasword"), ("rotation:length", "4"), ("rotation:lenght", "40")]
)
def test_a_tag_that_is_wrong_is_named_before_anything_changes(world: World, name: str, value: str) -> None:
    world.tag(name, value)

    assert world.rotate() == "RotationFailed"

    step, error, words = world.reason()
    assert (step, error) == ("CreateSecret", "InvalidSecretError")
    assert name in words
    assert world.logs_in(world.old)


def test_length_and_characters_are_those_of_the_tags(world: World) -> None:
    world.tag("rotation:length", "17")
    world.tag("rotation:characters", "alphanumeric")

    assert world.rotate() == "RotationSucceeded"

    password = world.value()["password"]
    assert len(password) == 17
    assert password.isalnum()
    assert world.logs_in(password)


@pytest.fixture
def alternating(world: World) -> Iterator[World]:
    """The same with an admin secret, and a second user that AWS's own rotation made, whose turn is over."""
    name = f"admin-{secrets.token_hex(4)}"
    world.server.create_user(name, "admin's own")
    with world.server.admin() as admin:
        admin.run(f'ALTER ROLE "{name}" CREATEROLE')
        admin.run(f'GRANT "{world.user}" TO "{name}" WITH ADMIN OPTION')
    value = {"host": "127.0.0.1", "port": world.server.port, "username": name, "password": "admin's own"}
    made = world.value() | {"masterarn": create_secret(world.machine, "admin", json.dumps(value), ADMIN)}
    world.machine.secrets_manager.put_secret_value(SecretId=world.arn, SecretString=json.dumps(made))
    yield world


def test_a_right_that_the_second_user_lacks_stops_the_rotation_and_is_named(alternating: World, table: str) -> None:
    world = alternating
    assert world.rotate() == "RotationSucceeded"
    second = world.value()["username"]
    with world.server.admin() as admin:
        # As after AWS's own rotation: the second user acts as itself, with a right of its own that cannot be passed on.
        admin.run(f'ALTER ROLE "{second}" RESET role')
        admin.run(f'ALTER ROLE "{second}" CREATEDB')

    assert world.rotate() == "RotationFailed"

    step, error, words = world.reason()
    assert (step, error) == ("TestSecret", "RightsDifferError")
    assert words.endswith(f"lacks what user '{second}' at 127.0.0.1:{world.server.port} may do: CREATEDB")
    assert world.outcomes()[-1] == "untouched"
    assert world.server.accepts(second, world.value()["password"])


def test_a_right_that_the_second_user_has_too_much_is_a_warning(
    alternating: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = alternating
    assert world.rotate() == "RotationSucceeded"
    second = world.value()["username"]
    with world.server.admin() as admin:
        admin.run(f'ALTER ROLE "{world.user}" CREATEDB')
        admin.run(f'ALTER ROLE "{second}" RESET role')

    assert world.rotate() == "RotationSucceeded"

    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"user '{world.user}' at 127.0.0.1:{world.server.port} may do more than "
        f"user '{second}' at 127.0.0.1:{world.server.port}: CREATEDB"
    ]
    assert world.machine.messages() == []


def test_the_user_that_applications_have_now_is_never_changed(alternating: World) -> None:
    world = alternating

    def row(name: str) -> Any:
        with world.server.admin() as admin:
            return admin.run(f"SELECT * FROM pg_authid WHERE rolname = '{name}'")

    before = row(world.user)
    assert world.rotate() == "RotationSucceeded"

    assert row(world.user) == before
    assert world.logs_in(world.old)
