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
from tests.workflow.conftest import RotatedSecret, create_secret
from tests.workflow.machine import Machine, running

GENERIC = {"rotation:engine": "generic"}


@pytest.fixture
def machine(definition: dict[str, Any]) -> Iterator[Machine]:
    with running(Silences(), definition) as machine:
        yield machine


def webhook(machine: Machine, value: str | bytes, tags: dict[str, str]) -> RotatedSecret:
    return RotatedSecret(machine, create_secret(machine, "webhook", value, tags))


def test_a_plain_text_becomes_another_plain_text_and_awsprevious_is_the_one_before(machine: Machine) -> None:
    secret = webhook(machine, "first", GENERIC)
    seen = ["first"]

    for _ in range(3):
        assert secret.rotate() == "RotationSucceeded"
        assert secret.text("AWSPREVIOUS") == seen[-1]
        seen.append(secret.text())

    assert len(set(seen)) == 4
    assert {len(each) for each in seen[1:]} == {32}
    assert machine.messages() == []


def test_the_key_that_the_tag_names_changes_and_no_other(machine: Machine) -> None:
    secret = webhook(machine, '{"apiKey": "first", "url": "https://example.com"}', GENERIC | {"rotation:key": "apiKey"})

    assert secret.rotate() == "RotationSucceeded"

    changed = secret.value()
    assert changed.pop("apiKey") != "first"
    assert changed == {"url": "https://example.com"}


def test_a_uuid_becomes_another_uuid(machine: Machine) -> None:
    secret = webhook(machine, str(uuid.uuid4()), GENERIC | {"rotation:generator": "uuid"})

    assert secret.rotate() == "RotationSucceeded"

    assert uuid.UUID(secret.text()).version == 4


def test_a_binary_value_is_refused_with_a_reason_and_stays(machine: Machine) -> None:
    secret = webhook(machine, b"\x00\x01", GENERIC)

    assert secret.rotate() == "RotationFailed"

    (message,) = machine.messages()
    assert json.loads(message["Message"])["reason"].startswith(
        "the secret's value is binary; this rotator rotates text"
    )
    assert machine.secrets_manager.get_secret_value(SecretId=secret.arn)["SecretBinary"] == b"\x00\x01"


def sign(key: str, message: bytes) -> str:
    return hmac.new(base64.b64decode(key), message, hashlib.sha256).hexdigest()


def accepted(keys: list[str], message: bytes, signature: str) -> bool:
    return any(hmac.compare_digest(sign(key, message), signature) for key in keys)


def test_what_was_signed_just_before_a_rotation_is_accepted_until_the_next_one(machine: Machine) -> None:
    secret = webhook(machine, base64.b64encode(b"k" * 32).decode(), GENERIC | {"rotation:generator": "hmac-sha256"})
    signature = sign(secret.text(), b"order 17")

    assert secret.rotate() == "RotationSucceeded"
    both = [secret.text(), secret.text("AWSPREVIOUS")]
    assert accepted(both, b"order 17", signature)
    assert accepted(both, b"order 18", sign(secret.text(), b"order 18"))
    assert not accepted(both, b"order 19", signature)

    assert secret.rotate() == "RotationSucceeded"
    assert not accepted([secret.text(), secret.text("AWSPREVIOUS")], b"order 17", signature)
    assert len(base64.b64decode(secret.text())) == 32
