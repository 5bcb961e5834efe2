"""What this rotator makes up itself, under every allowed combination of tags, is what they ask for and logs in."""

import base64
import hashlib
import hmac
import re
import string
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pg8000.native as pg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation.engines.base import Engine
from rotation.engines.postgres_verifiers import prepared
from rotation.passwords import CHARACTER_SETS
from rotation.settings import Settings
from tests.contract.worlds import PostgresWorld, World
from tests.properties.inputs import ODD_PASSWORDS

# What AWS's own rotation functions leave out, and what needs quoting nearly everywhere.
NEVER = set("/@\"'\\: `") | set(string.whitespace)


def tags(**values: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """Each of these tags, or not."""
    optional = {f"rotation:{name}": value for name, value in values.items()}
    return st.fixed_dictionaries({}, optional=optional)


LENGTHS = st.integers(8, 128).map(str)
BYTES = st.integers(16, 256).map(str)
OF_A_PASSWORD = tags(generator=st.just("password"), length=LENGTHS, characters=st.sampled_from([*CHARACTER_SETS]))
_DECODED: dict[str, Callable[[str], bytes]] = {
    "base64": lambda value: base64.b64decode(value, validate=True),
    "hex": bytes.fromhex,
    "hmac-sha256": lambda value: base64.b64decode(value, validate=True),
}


@settings(max_examples=300)
@given(OF_A_PASSWORD)
def test_a_new_password_is_what_the_tags_ask_for(asked: dict[str, str]) -> None:
    classes = CHARACTER_SETS[asked.get("rotation:characters", "url-safe")]

    password = Settings.of(asked).new_value()

    assert len(password) == int(asked.get("rotation:length", "32"))
    assert password[0] in string.ascii_letters
    assert set(password) <= set("".join(classes))
    assert all(set(password) & set(each) for each in classes)
    assert not set(password) & NEVER
    assert Settings.of(asked).new_value() != password


@settings(max_examples=100)
@given(st.sampled_from([*_DECODED]), tags(length=BYTES))
def test_a_new_key_has_the_bytes_that_the_tags_ask_for(generator: str, asked: dict[str, str]) -> None:
    if generator == "hmac-sha256":
        asked = {}

    key = Settings.of(asked | {"rotation:generator": generator}).new_value()

    assert len(_DECODED[generator](key)) == int(asked.get("rotation:length", "32"))
    assert str(uuid.UUID(Settings.of({"rotation:generator": "uuid"}).new_value())).count("-") == 4


VALUES = st.one_of(
    OF_A_PASSWORD,
    st.fixed_dictionaries(
        {"rotation:generator": st.sampled_from(("base64", "hex"))}, optional={"rotation:length": BYTES}
    ),
    st.sampled_from(("uuid", "hmac-sha256")).map(lambda generator: {"rotation:generator": generator}),
)


@pytest.mark.xdist_group("postgres")
def test_of_any_password_postgresql_stores_what_this_rotator_would_send(start: Callable[[str], World]) -> None:
    server = cast(PostgresWorld, start("postgres"))
    user = server.user()

    @settings(max_examples=300)
    @given(ODD_PASSWORDS)
    def holds(password: str) -> None:
        asker.run(f"ALTER ROLE {pg.identifier(user.username)} PASSWORD {pg.literal(password)}")
        [[stored]] = asker.run("SELECT rolpassword FROM pg_authid WHERE rolname = :name", name=user.username)
        [(salt, key)] = re.findall(r"SCRAM-SHA-256\$4096:(.+)\$(.+):.+", stored)
        salted = hashlib.pbkdf2_hmac("sha256", prepared(password), base64.b64decode(salt), 4096)
        assert base64.b64decode(key) == hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()

    with server.server.admin() as asker:
        asker.run("SET log_statement = 'none'")
        holds()


def test_every_server_takes_what_is_made_and_lets_in_with_it(world: World, engine: Engine) -> None:
    first = user = world.user()

    @settings(max_examples=8)
    @given(VALUES)
    def holds(asked: dict[str, str]) -> None:
        nonlocal user
        before, user = user, replace(user, password=Settings.of(asked).new_value())
        engine.set_password(before, user)
        engine.verify(user)

    holds()

    assert world.logs_in(user)
    assert not world.logs_in(first)
