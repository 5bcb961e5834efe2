"""Engine generic: values that no server knows, rotated by the same machine."""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from rotatorctl.local.secrets_manager import Silences
from tests.workflow.machine import FUNCTION_ARN, Machine, running

GENERIC = {"rotation:engine": "generic"}


@pytest.fixture
def machine(definition: dict[str, Any]) -> Iterator[Machine]:
    with running(Silences(), definition) as machine:
        yield machine


def create(machine: Machine, value: str | bytes, tags: dict[str, str]) -> str:
    request: dict[str, Any] = {"SecretBinary" if isinstance(value, bytes) else "SecretString": value}
    pairs = [{"Key": key, "Value": each} for key, each in tags.items()]
    return str(machine.secrets_manager.create_secret(Name="webhook", Tags=pairs, **request)["ARN"])


def rotate(machine: Machine, arn: str) -> str:
    machine.secrets_manager.rotate_secret(
        SecretId=arn, RotationLambdaARN=f"{FUNCTION_ARN}rotate", RotationRules={"AutomaticallyAfterDays": 30}
    )
    rotation = machine.secrets_manager.wait(arn)
    assert rotation is not None
    machine.settle()
    return str(rotation.outcome)


def value(machine: Machine, arn: str, stage: str = "AWSCURRENT") -> str:
    return str(machine.secrets_manager.get_secret_value(SecretId=arn, VersionStage=stage)["SecretString"])


def test_a_plain_text_becomes_another_plain_text_and_awsprevious_is_the_one_before(machine: Machine) -> None:
    arn = create(machine, "first", GENERIC)
    seen = ["first"]

    for _ in range(3):
        assert rotate(machine, arn) == "RotationSucceeded"
        assert value(machine, arn, "AWSPREVIOUS") == seen[-1]
        seen.append(value(machine, arn))

    assert len(set(seen)) == 4
    assert {len(each) for each in seen[1:]} == {32}
    assert machine.messages() == []


def test_the_key_that_the_tag_names_changes_and_no_other(machine: Machine) -> None:
    arn = create(machine, '{"apiKey": "first", "url": "https://example.com"}', GENERIC | {"rotation:key": "apiKey"})

    assert rotate(machine, arn) == "RotationSucceeded"

    changed = json.loads(value(machine, arn))
    assert changed.pop("apiKey") != "first"
    assert changed == {"url": "https://example.com"}


def test_a_uuid_becomes_another_uuid(machine: Machine) -> None:
    arn = create(machine, str(uuid.uuid4()), GENERIC | {"rotation:generator": "uuid"})

    assert rotate(machine, arn) == "RotationSucceeded"

    assert uuid.UUID(value(machine, arn)).version == 4


def test_a_binary_value_is_refused_with_a_reason_and_stays(machine: Machine) -> None:
    arn = create(machine, b"\x00\x01", GENERIC)

    assert rotate(machine, arn) == "RotationFailed"

    (message,) = machine.messages()
    assert json.loads(message["Message"])["reason"].startswith(
        "the secret's value is binary; this rotator rotates text"
    )
    assert machine.secrets_manager.get_secret_value(SecretId=arn)["SecretBinary"] == b"\x00\x01"


def sign(key: str, message: bytes) -> str:
    return hmac.new(base64.b64decode(key), message, hashlib.sha256).hexdigest()


def accepted(keys: list[str], message: bytes, signature: str) -> bool:
    return any(hmac.compare_digest(sign(key, message), signature) for key in keys)


def test_what_was_signed_just_before_a_rotation_is_accepted_until_the_next_one(machine: Machine) -> None:
    arn = create(machine, base64.b64encode(b"k" * 32).decode(), GENERIC | {"rotation:generator": "hmac-sha256"})
    signature = sign(value(machine, arn), b"order 17")

    assert rotate(machine, arn) == "RotationSucceeded"
    both = [value(machine, arn), value(machine, arn, "AWSPREVIOUS")]
    assert accepted(both, b"order 17", signature)
    assert accepted(both, b"order 18", sign(value(machine, arn), b"order 18"))
    assert not accepted(both, b"order 19", signature)

    assert rotate(machine, arn) == "RotationSucceeded"
    assert not accepted([value(machine, arn), value(machine, arn, "AWSPREVIOUS")], b"order 17", signature)
    assert len(base64.b64decode(value(machine, arn))) == 32
