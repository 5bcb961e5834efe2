"""Bad input, through the whole machine: the key or rule is named, nothing changes, what people are told is true."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from rotatorctl.local.postgresql import PostgreSQL
from rotatorctl.local.secrets_manager import FunctionError, Silences
from tests.workflow.conftest import World, create_secret
from tests.workflow.machine import FUNCTION_ARN, ROOT, Machine, running

EVENTS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events/secrets_manager").glob("*.json"))}
OLD = f"old-{secrets.token_urlsafe(12)}"


@pytest.fixture(scope="module")
def machine(server: PostgreSQL) -> Iterator[Machine]:
    """One machine for all: a rotation that fails on its input leaves nothing behind."""
    definition = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
    server.create_user("app", OLD)
    with patch.dict(os.environ, {"PRIVATE_CA": server.ca_pem}), running(Silences(), definition) as machine:
        yield machine


@pytest.fixture
def world(machine: Machine, server: PostgreSQL) -> World:
    """A secret of its own that could be rotated."""
    machine.messages()
    return World(machine, create(machine, changed(server, {})), server, "app", OLD)


def changed(server: PostgreSQL, fields: dict[str, Any]) -> str:
    """A secret's value, good but for these fields; one that is None is left out."""
    good = {"engine": "postgres", "host": "127.0.0.1", "port": server.port, "username": "app", "password": OLD}
    return json.dumps({key: each for key, each in (good | fields).items() if each is not None})


def create(machine: Machine, value: str | bytes) -> str:
    """The ARN of a new secret with this value."""
    return create_secret(machine, f"orders/{secrets.token_hex(4)}", value)


def with_value(world: World, value: dict[str, Any] | str | bytes) -> World:
    """The same world with a secret that never had any other value."""
    text = changed(world.server, value) if isinstance(value, dict) else value
    return replace(world, arn=create(world.machine, text))


def executions(world: World) -> list[dict[str, Any]]:
    return [each for each in world.machine.executions() if world.arn in each["input"]]


def call(world: World, event: Any) -> str:
    """One call of the rotation function; returns "done" or the error's words."""
    try:
        world.machine.rotate(f"{FUNCTION_ARN}rotate", event)
    except FunctionError as error:
        return str(error)
    world.machine.settle()
    return "done"


@contextmanager
def nothing_changes(world: World) -> Iterator[None]:
    """Neither the passwords on the server nor the labels, except that AWSPENDING may be on the new version."""
    changes, before = world.server.log().count("ALTER ROLE"), world.stages()
    yield
    after = {version: stages for version, stages in world.stages().items() if stages != ["AWSPENDING"]}
    assert after == {version: stages for version, stages in before.items() if stages != ["AWSPENDING"]}
    assert world.server.log().count("ALTER ROLE") == changes
    assert world.logs_in(OLD)


NO_TEXT = "the secret's JSON needs the key '{}' with a text that is not empty"
NO_HOST = "the secret's key 'host' is neither a host name nor an IP address"
NO_PORT = "the secret's key 'port' is not a number from 1 to 65535"
KNOWN = "this rotator knows aurora-mysql, aurora-postgresql, generic, mariadb, mongo, mysql, postgres, redis, valkey"

# The secret's value (a dictionary: what differs from a good one), and the words that name what is wrong.
VALUES: dict[str, tuple[dict[str, Any] | str | bytes, str]] = {
    "no JSON": ("just-a-password", "the secret's value is not JSON; expected an object"),
    "a list": ('["app", "secret"]', "the secret's value is JSON but not an object"),
    "binary": (b"\x00\x01", "the secret's value is binary; this rotator rotates text values only"),
    "no engine": ({"engine": None}, "aws secretsmanager tag-resource --secret-id <secret> --tags Key=rotation:engine"),
    "unknown engine": ({"engine": "cassandra"}, f"unknown engine 'cassandra'; {KNOWN}"),
    "no host": ({"host": None}, NO_TEXT.format("host")),
    "no user name": ({"username": None}, NO_TEXT.format("username")),
    "no password": ({"password": None}, NO_TEXT.format("password")),
    "empty password": ({"password": ""}, NO_TEXT.format("password")),
    "host with a space": ({"host": "db example"}, NO_HOST),
    "host that is a URL": ({"host": "postgres://db/orders"}, NO_HOST),
    "port 0": ({"port": 0}, NO_PORT),
    "port 70000": ({"port": 70000}, NO_PORT),
    "port abc": ({"port": "abc"}, NO_PORT),
    "port true": ({"port": True}, NO_PORT),
    "port 1.5": ({"port": 1.5}, NO_PORT),
    "ssl maybe": ({"ssl": "maybe"}, "the secret's key 'ssl' must be true or false"),
    "NUL": ({"username": "app\0"}, "the secret's key 'username' contains a NUL character"),
}


@pytest.mark.parametrize(("value", "words"), VALUES.values(), ids=VALUES)
def test_a_value_that_cannot_drive_a_rotation_is_named_and_nothing_changes(
    world: World, value: dict[str, Any] | str | bytes, words: str
) -> None:
    world = with_value(world, value)

    with nothing_changes(world):
        assert world.rotate() == "RotationFailed"

    (message,) = world.machine.messages()
    body = json.loads(message["Message"])
    assert (body["step"], body["error"]) == ("CreateSecret", "InvalidSecretError")
    assert words in body["reason"]
    # Nobody can say whether the credential of such a value logs in.
    assert message["Subject"].startswith("CHECK NEEDED, AWSCURRENT could not be tried: orders/")
    assert (body["outcome"], body["workingCredential"]) == ("needs a person", "unknown")
    assert OLD not in json.dumps(message)


def test_a_value_that_was_mended_rotates(world: World) -> None:
    world = with_value(world, {"engine": None})
    world.rotate()

    mended = changed(world.server, {"engine": "generic"})
    world.machine.secrets_manager.put_secret_value(SecretId=world.arn, SecretString=mended)

    assert world.rotate() == "RotationSucceeded"
    assert world.value()["password"] != OLD


REFUSED = ("LoginRefusedError", "ACTION NEEDED, AWSCURRENT does not log in")
NOT_TRIED = ("InvalidSecretError", "CHECK NEEDED, AWSCURRENT could not be tried")

# What differs from a good value, the error and headline, and the server's or the client's own words.
DATABASES: dict[str, tuple[dict[str, Any], tuple[str, str], str]] = {
    "wrong password": ({"password": "not-the-password"}, REFUSED, "password authentication failed"),
    "no such user": ({"username": "nobody at all"}, REFUSED, 'password authentication failed for user "nobody at all"'),
    "no TLS asked for": ({"ssl": False}, REFUSED, "no pg_hba.conf entry for host"),
    "no such database": ({"dbname": "nowhere"}, NOT_TRIED, 'database "nowhere" does not exist'),
    "certificate for another name": ({"host": "127.1"}, NOT_TRIED, "Hostname mismatch"),
}


@pytest.mark.parametrize(("value", "outcome", "words"), DATABASES.values(), ids=DATABASES)
def test_a_value_that_the_server_does_not_take_is_told_in_its_words_and_nothing_changes(
    world: World, value: dict[str, Any], outcome: tuple[str, str], words: str
) -> None:
    error, headline = outcome
    world = with_value(world, value)

    with nothing_changes(world):
        assert world.rotate() == "RotationFailed"

    (message,) = world.machine.messages()
    body = json.loads(message["Message"])
    assert (body["step"], body["error"]) == ("SetSecret", error)
    assert words in body["reason"]
    assert message["Subject"].startswith(headline)


def test_a_port_as_text_rotates(world: World) -> None:
    world.server.create_user("port as text", "old-secret")
    login = {"username": "port as text", "password": "old-secret"}
    world = with_value(world, {"port": str(world.server.port)} | login)

    assert world.rotate() == "RotationSucceeded"

    assert world.value()["port"] == str(world.server.port)
    assert world.server.accepts("port as text", world.value()["password"])


def test_the_tag_decides_which_engine_a_secret_has(world: World) -> None:
    world.server.create_user("engine by tag", "old-secret")
    world = with_value(world, {"engine": "cassandra", "username": "engine by tag", "password": "old-secret"})
    world.tag("rotation:engine", "postgres")

    assert world.rotate() == "RotationSucceeded"

    assert world.value()["engine"] == "cassandra"
    assert world.server.accepts("engine by tag", world.value()["password"])
    assert world.machine.messages() == []


@pytest.mark.parametrize("engine", ["postgres", None])
def test_a_tag_cannot_take_the_server_from_a_secret(world: World, engine: str | None) -> None:
    """Engine generic would change the value alone, and call it a success."""
    world = with_value(world, {"engine": engine})
    world.tag("rotation:engine", "generic")

    with nothing_changes(world):
        assert world.rotate() == "RotationFailed"

    (message,) = world.machine.messages()
    assert "the secret's JSON names a host" in json.loads(message["Message"])["reason"]


def test_a_tag_with_an_unknown_engine_is_named(world: World) -> None:
    world.tag("rotation:engine", "cassandra")

    with nothing_changes(world):
        assert world.rotate() == "RotationFailed"

    (message,) = world.machine.messages()
    assert f"unknown engine 'cassandra' (tag 'rotation:engine'); {KNOWN}" in json.loads(message["Message"])["reason"]


@pytest.fixture
def begun(world: World) -> World:
    return begin(world)


def begin(world: World) -> World:
    """A rotation that Secrets Manager has begun and not yet told the function of."""

    def lost(function_arn: str, event: dict[str, str]) -> None:
        raise FunctionError("the function could not be called")

    with patch.object(world.machine.secrets_manager, "invoke", lost):
        assert world.rotate() == "RotationFailed"
    return world


def event_for(world: World, name: str = "create_secret") -> dict[str, Any]:
    """The event of that file, for this secret."""
    rotation = world.machine.secrets_manager.rotations(world.arn)[-1]
    ids = {"SecretId": world.arn, "ClientRequestToken": rotation.token, "RotationToken": rotation.rotation_token}
    return dict(EVENTS[name] | ids)


def no_execution(world: World) -> None:
    assert executions(world) == []
    assert world.machine.messages() == []


@pytest.mark.parametrize("key", ["Step", "SecretId", "ClientRequestToken"])
@pytest.mark.parametrize("name", EVENTS)
def test_an_event_without_a_key_names_the_key_and_starts_nothing(begun: World, name: str, key: str) -> None:
    event = {each: value for each, value in event_for(begun, name).items() if each != key}

    with nothing_changes(begun):
        said = call(begun, event)

    assert said.startswith(f"InvalidEventError: the event has no {key};")
    no_execution(begun)


@pytest.mark.parametrize("event", [{}, [], None, "createSecret", {"Records": []}])
def test_an_event_of_something_else_starts_nothing(begun: World, event: Any) -> None:
    with nothing_changes(begun):
        said = call(begun, event)

    assert said.startswith("InvalidEventError: the event ")
    no_execution(begun)


@pytest.mark.parametrize("step", ["deleteSecret", "CreateSecret", "createSecret "])
def test_an_unknown_step_names_the_four_that_exist_and_starts_nothing(begun: World, step: str) -> None:
    with nothing_changes(begun):
        said = call(begun, event_for(begun) | {"Step": step})

    assert said.startswith(f"InvalidEventError: unknown Step '{step}'; expected one of createSecret, setSecret,")
    no_execution(begun)


def test_the_steps_in_the_spelling_of_awss_page_rotate(world: World) -> None:
    begun = begin(with_value(world, {"engine": "generic"}))

    steps = ("create_secret", "set_secret", "test_secret", "finish_secret")
    said = [call(begun, event_for(begun, step) | {"Step": step}) for step in steps]

    assert said == ["done"] * 4
    assert len(executions(begun)) == 1
    assert begun.value()["password"] != OLD


@pytest.mark.parametrize("name", EVENTS)
def test_a_token_that_is_not_pending_is_refused_and_starts_nothing(begun: World, name: str) -> None:
    with nothing_changes(begun):
        said = call(begun, event_for(begun, name) | {"ClientRequestToken": "0" * 36})

    assert said.startswith(f"StageConflictError: version {'0' * 36} is not labelled AWSPENDING")
    assert f"aws secretsmanager rotate-secret --secret-id {begun.arn}" in said
    no_execution(begun)


@pytest.mark.parametrize("name", EVENTS)
def test_a_token_that_is_current_already_is_done(begun: World, name: str) -> None:
    (current,) = [version for version, stages in begun.stages().items() if "AWSCURRENT" in stages]

    with nothing_changes(begun):
        assert call(begun, event_for(begun, name) | {"ClientRequestToken": current}) == "done"

    no_execution(begun)


@pytest.mark.parametrize("name", EVENTS)
def test_a_secret_whose_rotation_is_off_is_left_alone(begun: World, name: str) -> None:
    event = event_for(begun, name)
    begun.machine.secrets_manager.cancel_rotate_secret(SecretId=begun.arn)

    with nothing_changes(begun):
        said = call(begun, event)

    assert said == "StageConflictError: rotation is not turned on for this secret"
    no_execution(begun)


@pytest.mark.parametrize("name", ["set_secret", "finish_secret"])
def test_a_later_step_without_a_rotation_starts_none(begun: World, name: str) -> None:
    with nothing_changes(begun):
        said = call(begun, event_for(begun, name))

    assert said.startswith("StageConflictError: ")
    no_execution(begun)


def test_a_secret_that_does_not_exist_is_named(begun: World) -> None:
    """IAM comes first, and of a secret that is not there it knows no rotation function."""
    gone = begun.arn.replace(":secret:", ":secret:gone")

    said = call(begun, event_for(begun) | {"SecretId": gone})

    assert said.startswith(f"AccessDeniedError: secretsmanager:DescribeSecret on {gone}: AccessDeniedException")
    no_execution(begun)
