"""A secret's value and tags, whatever they are: taken or refused by name, and neither quoted nor lost."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation.engines import ENGINES
from rotation.errors import InvalidSecretError
from rotation.redaction import forget, redacted
from rotation.secret import Secret
from rotation.settings import Settings
from rotation.strategies.alternating_users import AlternatingUsers
from rotation.strategies.single_user import SingleUser
from tests.properties.inputs import HOSTS, MARK, PASSWORDS, TAGS, secrets_of, texts_of

GOOD: dict[str, Any] = {"host": "127.0.0.1", "port": 5432, "username": "app", "password": f"old-{MARK}"}


GOOD_ONES = st.builds(
    lambda engine, password: GOOD | {"engine": engine, "password": password}, st.sampled_from([*ENGINES]), PASSWORDS
)


@pytest.fixture(autouse=True)
def nothing_concealed() -> Iterator[None]:
    yield
    forget()


@settings(max_examples=500)
@given(GOOD_ONES.flatmap(lambda good: st.one_of(secrets_of(good), secrets_of(good), texts_of(good))), TAGS)
def test_a_secret_is_taken_whole_or_refused_without_a_word_of_its_values(value: str, tags: dict[str, str]) -> None:
    forget()
    try:
        secret = Secret.parse(value, tags, ENGINES)
        next_value = (AlternatingUsers() if secret.alternates else SingleUser()).next_value(secret)
    except InvalidSecretError as error:
        said = redacted(str(error))
        # A tag's name and value are no secret, and are named.
        assert MARK not in said
        return

    assert MARK not in f"{secret!r} {secret.credentials}"
    following = Secret.parse(next_value, tags, ENGINES)
    assert following.credentials.same_server(secret.credentials)
    key = tags.get("rotation:key") or "password"
    changed = {key} | ({"username"} if secret.alternates else set())
    assert {name: each for name, each in secret.fields.items() if name not in changed} == {
        name: each for name, each in following.fields.items() if name not in changed
    }


@settings(max_examples=500)
@given(st.sampled_from([*ENGINES]), HOSTS)
def test_a_host_is_refused_or_one_that_can_be_looked_up(engine: str, host: str) -> None:
    try:
        found = Secret.parse(json.dumps(GOOD | {"engine": engine, "host": host}), {}, ENGINES).credentials
    except InvalidSecretError as error:
        assert str(error).startswith(
            ("the secret's key 'host' ", "the secret's key 'port' ", "the secret's JSON needs")
        )
        return
    for name in found.host.split(","):
        with suppress(OSError):
            socket.getaddrinfo(name, None, flags=socket.AI_NUMERICHOST)


@settings(max_examples=500)
@given(TAGS)
def test_tags_are_taken_or_refused_by_name(tags: dict[str, str]) -> None:
    try:
        found = Settings.of(tags)
    except InvalidSecretError as error:
        assert any(tag in str(error) or repr(tag) in str(error) for tag in tags)
        return
    value = found.new_value()
    assert value.isascii()
    assert value.isprintable()
