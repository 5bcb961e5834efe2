"""What is PostgreSQL's own: verifiers, its error codes, the settings that a role may carry."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pg8000.native as pg
import pytest

from rotation.engines.postgres import Postgres
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from tests.contract.test_engines import next_of, until
from tests.contract.worlds import PostgresWorld

pytestmark = pytest.mark.xdist_group("PostgreSQL")

ENGINE = Postgres()


@pytest.fixture(scope="module")
def running() -> Iterator[PostgresWorld]:
    with PostgresWorld.started() as world:
        world.take_md5()
        yield world


@pytest.fixture
def world(running: PostgresWorld, monkeypatch: pytest.MonkeyPatch) -> PostgresWorld:
    monkeypatch.setenv("PRIVATE_CA", running.ca_pem)
    return running


def alter(world: PostgresWorld, user: Credentials, change: str) -> None:
    world.sql(f"ALTER ROLE {pg.identifier(user.username)} {change}")


@pytest.mark.parametrize(("kind", "begins"), [("scram-sha-256", "SCRAM-SHA-256$4096:"), ("md5", "md5")])
@pytest.mark.parametrize("password", ["new secret", "nëw\u00ad ﬀ secret", "🦊 סוד abc"])
def test_the_server_stores_the_kind_of_verifier_that_it_names(
    world: PostgresWorld, kind: str, begins: str, password: str
) -> None:
    old = world.user()
    new = replace(old, password=password)
    world.reload(f"ALTER SYSTEM SET password_encryption = '{kind}'")

    ENGINE.set_password(old, new)
    world.reload("ALTER SYSTEM RESET password_encryption")

    assert world.verifier(new).startswith(begins)
    ENGINE.verify(new)
    assert world.logs_in(new)
    assert not world.logs_in(old)


def test_what_a_role_has_set_for_its_sessions_does_not_choose_the_verifier(world: PostgresWorld) -> None:
    """A server that asks for SCRAM would lock it out."""
    old = world.user()
    alter(world, old, "SET password_encryption = 'md5'")

    ENGINE.set_password(old, next_of(old))

    assert world.verifier(old).startswith("SCRAM-SHA-256$")


def test_the_same_password_never_gets_the_same_scram_verifier(world: PostgresWorld) -> None:
    user = world.user()

    ENGINE.set_password(user, user)
    first = world.verifier(user)
    ENGINE.set_password(user, user)

    assert world.verifier(user) != first


# The password expires, the role may not log in, the role is gone.
REFUSALS = ["VALID UNTIL '{yesterday}'", "NOLOGIN", "RENAME TO {other}"]


@pytest.mark.parametrize("change", REFUSALS)
def test_a_role_that_may_not_log_in_is_refused(world: PostgresWorld, change: str) -> None:
    user = world.user()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    alter(world, user, change.format(yesterday=yesterday, other=pg.identifier(f"gone {user.username}")))

    with pytest.raises(LoginRefusedError):
        ENGINE.verify(user)
    with pytest.raises(LoginRefusedError):
        ENGINE.set_password(user, next_of(user))


def test_a_log_in_that_the_server_wants_inside_tls_is_refused(world: PostgresWorld) -> None:
    with pytest.raises(LoginRefusedError, match="no encryption"):
        ENGINE.verify(replace(world.user(), ssl=False))


def test_a_change_that_another_one_overtakes_is_unavailable_and_takes_no_effect(world: PostgresWorld) -> None:
    """PostgreSQL calls it an internal error: tuple concurrently updated."""
    old = world.user()
    new = next_of(old)

    with ThreadPoolExecutor() as pool, world.server.admin() as other:
        other.run("BEGIN")
        other.run(f"ALTER ROLE {pg.identifier(old.username)} CONNECTION LIMIT 5")
        change = pool.submit(ENGINE.set_password, old, new)
        until(world.waiting)
        other.run("COMMIT")
        with pytest.raises(UnavailableError, match="tuple concurrently updated"):
            change.result()

    assert world.logs_in(old)
    assert not world.logs_in(new)


def test_a_database_that_does_not_exist_is_the_secrets_fault(world: PostgresWorld) -> None:
    with pytest.raises(InvalidSecretError, match='database "nowhere" does not exist'):
        ENGINE.verify(replace(world.user(), dbname="nowhere"))


def test_a_user_who_may_not_enter_the_database_lacks_a_right(world: PostgresWorld) -> None:
    user = replace(world.user(), dbname="closed")
    world.sql(
        "DROP DATABASE IF EXISTS closed", "CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM public"
    )

    with pytest.raises(RightsDifferError, match='permission denied for database "closed"'):
        ENGINE.verify(user)


def test_a_user_may_not_change_another_ones_password(world: PostgresWorld) -> None:
    user, other = world.user(), world.user()

    with pytest.raises(RightsDifferError, match="permission denied"):
        ENGINE.set_password(user, next_of(other))

    assert world.logs_in(other)


def test_a_password_that_the_server_refuses_for_good_is_named_so(world: PostgresWorld) -> None:
    user = world.user()
    alter(world, user, "SET session_preload_libraries = 'passwordcheck'")

    with pytest.raises(PasswordRejectedError, match="password must not equal user name"):
        ENGINE.set_password(user, replace(user, password=user.username))

    assert world.logs_in(user)


@pytest.mark.parametrize(
    "setting",
    [
        "SET role = 'owner'",
        "SET default_transaction_read_only = on",
        "SET statement_timeout = 0",
        "SET standard_conforming_strings = off",
        "SET client_encoding = 'LATIN1'",
        "SET search_path = ''",
    ],
)
def test_settings_of_the_role_do_not_stand_in_the_way(world: PostgresWorld, setting: str) -> None:
    old = world.user(f"user \\ é {setting}"[:40])
    new = next_of(old)
    world.sql("DROP ROLE IF EXISTS owner", "CREATE ROLE owner", f"GRANT owner TO {pg.identifier(old.username)}")
    alter(world, old, setting)

    ENGINE.set_password(old, new)

    assert world.logs_in(new)
    assert not world.logs_in(old)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "UTF8"])
def test_a_database_of_another_encoding_makes_no_difference(world: PostgresWorld, encoding: str) -> None:
    database = f"in {encoding}"
    world.sql(f"CREATE DATABASE \"{database}\" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    old = replace(world.user(f"in {encoding}", "öld 🦊 secret"), dbname=database)
    new = replace(old, password="nëw 🦊 secret")

    ENGINE.set_password(old, new)

    assert world.logs_in(new)
    assert not world.logs_in(old)


def test_a_name_with_an_emoji_works_in_a_database_without_an_encoding(world: PostgresWorld) -> None:
    world.sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    old = replace(world.user("🦊 in bytes"), dbname="bytes")
    new = next_of(old)

    ENGINE.set_password(old, new)

    assert world.logs_in(new)


def test_an_error_says_what_the_server_said_and_its_code(world: PostgresWorld) -> None:
    user = next_of(world.user())

    with pytest.raises(RotationError) as error:
        ENGINE.verify(user)

    assert str(error.value) == (
        f"user '{user.username}' at 127.0.0.1:{world.port}: "
        f'password authentication failed for user "{user.username}" (SQLSTATE 28P01)'
    )
