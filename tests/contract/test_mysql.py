"""What is MySQL's and MariaDB's own: hosts, two passwords, hashes, policies, error numbers, cloned users."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from rotation.engines import mysql, mysql_users
from rotation.engines.mysql import MySQL
from rotation.engines.mysql_grants import literal, rights
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from tests.contract.mysql_world import MySQLWorld
from tests.contract.test_engines import answering, next_of, until

pytestmark = pytest.mark.xdist_group("MariaDB")

ENGINE = MySQL()

# What an administrator of the rotation has to be allowed. The second line is for a clone alone.
LEAST = ("GRANT CREATE USER ON *.* TO {}", "GRANT SELECT ON mysql.global_priv TO {}")
LEAST_FOR_CLONES = (
    "GRANT CREATE USER ON *.* TO {}",
    "GRANT SELECT ON mysql.* TO {}",
    "GRANT ALL PRIVILEGES ON shop.* TO {} WITH GRANT OPTION",
)


@pytest.fixture(scope="module")
def running() -> Iterator[MySQLWorld]:
    with MySQLWorld.started() as world:
        world.sql("CREATE TABLE shop.orders (id INT, price INT)")
        yield world


@pytest.fixture
def world(running: MySQLWorld, monkeypatch: pytest.MonkeyPatch) -> MySQLWorld:
    monkeypatch.setenv("PRIVATE_CA", running.ca_pem)
    return running


def account(user: Credentials, host: str = "%") -> str:
    return f"{literal(user.username)}@{literal(host)}"


def administrator(world: MySQLWorld, *rights: str) -> Credentials:
    admin = world.user(f"admin-{world.user().username}"[:40])
    world.sql(*(right.format(account(admin)) for right in rights))
    return admin


@pytest.fixture
def admin(world: MySQLWorld) -> Credentials:
    """An administrator with no more than the rights to change passwords."""
    return administrator(world, *LEAST)


@pytest.fixture
def cloner(world: MySQLWorld) -> Credentials:
    """An administrator with no more than the rights to clone a user of the database shop."""
    return administrator(world, *LEAST_FOR_CLONES)


def stored(world: MySQLWorld, user: Credentials, host: str = "%") -> Any:
    """What the server holds of an account, without what changes with every password."""
    where = f"WHERE user = {literal(user.username)} AND host = {literal(host)}"
    [[text]] = world.sql(f"SELECT priv FROM mysql.global_priv {where}")
    gone = {"authentication_string", "password_last_changed", "auth_or", "version_id", "plugin"}
    return {key: value for key, value in json.loads(text).items() if value and key not in gone}


def stated(world: MySQLWorld, user: Credentials, host: str = "%") -> Any:
    """The server's whole words on an account."""
    name = account(user, host)
    return world.sql(f"SHOW CREATE USER {name}"), sorted(world.sql(f"SHOW GRANTS FOR {name}"))


# An account's password.


def test_an_administrator_changes_the_password_of_every_host(world: MySQLWorld, admin: Credentials) -> None:
    old = world.user()
    new = next_of(old)
    world.server.create_user(old.username, old.password, "127.0.0.%")

    ENGINE.set_password(admin, new)

    assert world.logs_in(new)
    world.sql(f"DROP USER {account(old, '127.0.0.%')}")
    assert world.logs_in(new)
    assert not world.logs_in(old)


def test_a_user_changes_the_account_that_it_logs_in_by(world: MySQLWorld) -> None:
    old = world.user()
    new = next_of(old)
    world.server.create_user(old.username, old.password, "127.0.0.%")

    ENGINE.set_password(old, new)

    assert world.logs_in(new)
    world.sql(f"DROP USER {account(old, '127.0.0.%')}")
    assert world.logs_in(old)


@pytest.mark.parametrize("by_itself", [True, False])
def test_all_else_of_an_account_survives_a_change(world: MySQLWorld, admin: Credentials, by_itself: bool) -> None:
    old = world.user()
    new = next_of(old)
    world.sql(
        "CREATE ROLE IF NOT EXISTS reader",
        f"GRANT reader TO {account(old)}",
        f"SET DEFAULT ROLE reader FOR {account(old)}",
        f"ALTER USER {account(old)} REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 900 MAX_STATEMENT_TIME 2.5",
        f"ALTER USER {account(old)} PASSWORD EXPIRE INTERVAL 90 DAY",
        f"GRANT SELECT, INSERT (id) ON shop.orders TO {account(old)} WITH GRANT OPTION",
    )
    before, rights = stored(world, old), ENGINE.rights(old)

    ENGINE.set_password(old if by_itself else admin, new)

    assert world.logs_in(new)
    assert stored(world, old) == before
    assert ENGINE.rights(new) == rights


def test_a_lock_survives_an_administrators_change(world: MySQLWorld, admin: Credentials) -> None:
    user = world.user()
    world.sql(f"ALTER USER {account(user)} ACCOUNT LOCK")

    ENGINE.set_password(admin, next_of(user))

    assert stored(world, user)["account_locked"]


def test_an_administrators_change_ends_an_expiry(world: MySQLWorld, admin: Credentials) -> None:
    old = world.user()
    new = next_of(old)
    world.sql(f"ALTER USER {account(old)} PASSWORD EXPIRE")

    ENGINE.set_password(admin, new)

    ENGINE.verify(new)


def test_a_user_who_does_not_exist_is_named(world: MySQLWorld, admin: Credentials) -> None:
    nobody = replace(world.user(), username="nobody at all")

    with pytest.raises(InvalidSecretError, match=r"'nobody at all' at 127\.0\.0\.1:\d+ does not exist"):
        ENGINE.set_password(admin, nobody)


def test_a_space_at_the_end_makes_another_user(world: MySQLWorld, admin: Credentials) -> None:
    user = world.user("spaced")

    with pytest.raises(InvalidSecretError, match="does not exist"):
        ENGINE.set_password(admin, replace(next_of(user), username="spaced "))

    assert world.logs_in(user)


def test_a_role_is_no_user(world: MySQLWorld, admin: Credentials) -> None:
    world.sql("CREATE ROLE IF NOT EXISTS reader")

    with pytest.raises(InvalidSecretError, match="does not exist"):
        ENGINE.set_password(admin, replace(world.user(), username="reader"))


NAMES = [
    "o'brien",
    "back\\slash",
    "back`tick",
    'say "hi"',
    "100%s",
    " space",
    "Zoë",
    "משתמש",
    "a@b",
    "n" * 128,
    "é" * 128,
]


@pytest.mark.parametrize("name", NAMES)
def test_an_administrator_changes_the_user_of_exactly_this_name(
    world: MySQLWorld, admin: Credentials, name: str
) -> None:
    old = world.user(name, "old'\\secret")
    new = replace(old, password="new'\\secret")
    world.server.create_user(old.username, old.password, "10.0.0.0/255.0.0.0")

    ENGINE.set_password(admin, new, old)

    assert world.logs_in(new)
    assert world.logs_in(old)
    ENGINE.set_password(admin, new)
    assert not world.logs_in(old)
    assert "\\secret" not in world.log()


# Two passwords of one account.


def test_the_password_to_keep_goes_on_working_until_it_is_not_kept(world: MySQLWorld, admin: Credentials) -> None:
    first = world.user()
    second, third = next_of(first), next_of(first)

    ENGINE.set_password(admin, second, first)
    assert [world.logs_in(each) for each in (first, second, third)] == [True, True, False]
    ENGINE.verify(first)
    ENGINE.verify(second)
    with pytest.raises(LoginRefusedError):
        ENGINE.verify(third)

    ENGINE.set_password(admin, third, second)
    assert [world.logs_in(each) for each in (first, second, third)] == [False, True, True]

    ENGINE.set_password(admin, third)
    assert [world.logs_in(each) for each in (first, second, third)] == [False, False, True]


def test_keeping_a_password_can_be_repeated(world: MySQLWorld, admin: Credentials) -> None:
    old = world.user()
    new = next_of(old)

    ENGINE.set_password(admin, new, old)
    ENGINE.set_password(admin, new, old)
    ENGINE.set_password(admin, old, old)

    assert world.logs_in(old)
    assert not world.logs_in(new)


def test_both_passwords_work_at_every_host(world: MySQLWorld, admin: Credentials) -> None:
    old = world.user()
    new = next_of(old)
    world.server.create_user(old.username, old.password, "127.0.0.%")

    ENGINE.set_password(admin, new, old)

    assert (world.logs_in(old), world.logs_in(new)) == (True, True)
    world.sql(f"DROP USER {account(old, '127.0.0.%')}")
    assert (world.logs_in(old), world.logs_in(new)) == (True, True)


def test_a_password_that_was_refused_is_not_revived(world: MySQLWorld, admin: Credentials) -> None:
    refused = world.user()
    current, new = next_of(refused), next_of(refused)
    ENGINE.set_password(admin, current)

    ENGINE.set_password(admin, new, refused)

    assert [world.logs_in(each) for each in (refused, current, new)] == [False, False, True]


def test_another_users_password_is_not_kept(world: MySQLWorld, admin: Credentials) -> None:
    old, other = world.user(password="the same"), world.user(password="the same")
    new = next_of(old)

    ENGINE.set_password(admin, new, other)

    assert not world.logs_in(old)


@pytest.mark.parametrize("keep", [True, False])
def test_two_calls_at_once_leave_what_one_of_them_left(world: MySQLWorld, admin: Credentials, keep: bool) -> None:
    old = world.user()
    targets = [next_of(old) for _ in range(4)]
    started = threading.Barrier(len(targets))

    def change(target: Credentials) -> None:
        started.wait()
        ENGINE.set_password(admin, target, old if keep else None)

    with ThreadPoolExecutor() as pool:
        list(pool.map(change, targets))

    assert world.logs_in(old) == keep
    assert [world.logs_in(target) for target in targets].count(True) == 1


def test_while_another_call_changes_a_user_it_is_unavailable(
    world: MySQLWorld, admin: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rotation.engines.mysql.STATEMENT_TIMEOUT", 1)
    old, other = world.user(), world.user()
    new = next_of(old)

    with ThreadPoolExecutor() as pool, world.server.admin() as holder:
        holder.execute("LOCK TABLES mysql.global_priv READ")
        slow = pool.submit(ENGINE.set_password, admin, next_of(old))
        until(world.waiting)
        with pytest.raises(UnavailableError, match=f"another call changes user {old.username!r}"):
            ENGINE.set_password(admin, new)
        assert isinstance(slow.exception(), UnavailableError)
        holder.execute("UNLOCK TABLES")

    ENGINE.set_password(admin, next_of(other))
    assert world.logs_in(old)


def test_a_call_that_froze_loses_the_lock_and_cannot_go_on(
    world: MySQLWorld, admin: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = world.user()
    new = next_of(old)
    monkeypatch.setattr(mysql, "STATEMENT_TIMEOUT", 1)

    with mysql._login(admin) as frozen, mysql_users.locked(frozen, 1, old.username):
        monkeypatch.undo()
        monkeypatch.setenv("PRIVATE_CA", world.ca_pem)
        ENGINE.set_password(admin, new)
        with pytest.raises(UnavailableError):
            frozen.run("SELECT 1")

    assert world.logs_in(new)


def test_a_user_keeps_no_second_password_by_itself(world: MySQLWorld) -> None:
    old = world.user()
    new = next_of(old)

    ENGINE.set_password(old, new, old)

    assert world.logs_in(new)
    assert not world.logs_in(old)


def test_a_user_with_two_passwords_changes_nothing_by_itself(world: MySQLWorld, admin: Credentials) -> None:
    """MariaDB would change one of the two, and the user could not take away the other."""
    old = world.user()
    new, third = next_of(old), next_of(old)
    ENGINE.set_password(admin, new, old)

    with pytest.raises(RightsDifferError, match="has a second password"):
        ENGINE.set_password(new, third)

    assert [world.logs_in(each) for each in (old, new, third)] == [True, True, False]


# Other ways to log in.

METHODS = {
    "ed25519": "ed25519 USING PASSWORD('x')",
    "unix_socket": "unix_socket OR mysql_native_password USING PASSWORD('x')",
}


@pytest.mark.parametrize("plugin", METHODS)
def test_no_other_way_to_log_in_is_taken_away(world: MySQLWorld, admin: Credentials, plugin: str) -> None:
    user = world.user()
    world.sql(f"ALTER USER {account(user)} IDENTIFIED VIA {METHODS[plugin]}")
    before = stated(world, user)

    with pytest.raises(InvalidSecretError, match=f"logs in by {plugin}"):
        ENGINE.set_password(admin, next_of(user))

    assert stated(world, user) == before


def test_a_log_in_by_a_method_without_its_package_is_the_secrets_fault(world: MySQLWorld) -> None:
    user = replace(world.user(), password="x")
    world.sql(f"ALTER USER {account(user)} IDENTIFIED VIA ed25519 USING PASSWORD('x')")

    with pytest.raises(InvalidSecretError, match="method that is not supported: 'pynacl' package"):
        ENGINE.verify(user)


def test_a_user_of_the_socket_cannot_change_its_password(world: MySQLWorld) -> None:
    user = replace(world.user(), password="x")
    world.sql(f"ALTER USER {account(user)} IDENTIFIED VIA {METHODS['unix_socket']}")

    with pytest.raises(RightsDifferError, match="another second way to log in"):
        ENGINE.set_password(user, next_of(user))

    assert world.logs_in(user)


# Policies.


@contextmanager
def policy(world: MySQLWorld, plugin: str) -> Iterator[None]:
    """A validation plug-in: from now on the server refuses hashes and judges the passwords themselves."""
    world.sql(f"INSTALL SONAME '{plugin}'")
    try:
        yield
    finally:
        world.sql(f"UNINSTALL SONAME '{plugin}'", "DROP TABLE IF EXISTS mysql.password_reuse_check_history")


GOOD, BETTER, WEAK = "Good-password-1 é🦊'\\", "Better-password-2 ü🦊'\\", "weak"


def test_a_policy_judges_what_a_user_sets(world: MySQLWorld) -> None:
    old = world.user()
    good = replace(old, password=GOOD)

    with policy(world, "simple_password_check"):
        with pytest.raises(PasswordRejectedError, match="simple_password_check"):
            ENGINE.set_password(old, replace(old, password=WEAK))
        assert world.logs_in(old)
        ENGINE.set_password(old, good)

    assert world.logs_in(good)
    assert not world.logs_in(old)


def test_a_policy_judges_what_an_administrator_sets(world: MySQLWorld, admin: Credentials) -> None:
    old = world.user()
    good, better = replace(old, password=GOOD), replace(old, password=BETTER)

    with policy(world, "simple_password_check"):
        with pytest.raises(PasswordRejectedError, match="simple_password_check"):
            ENGINE.set_password(admin, replace(old, password=WEAK), old)
        assert world.logs_in(old)
        ENGINE.set_password(admin, good)
        ENGINE.set_password(admin, better, good)

    assert [world.logs_in(each) for each in (old, good, better)] == [False, True, True]


@pytest.mark.parametrize("plugin", ["simple_password_check", "password_reuse_check"])
def test_a_policy_that_refuses_the_password_to_keep_does_not_stop_the_new_one(
    world: MySQLWorld, admin: Credentials, plugin: str
) -> None:
    old = world.user(password=WEAK)
    new = replace(old, password=GOOD)

    with policy(world, plugin):
        if plugin == "password_reuse_check":
            world.sql(f"ALTER USER {account(old)} IDENTIFIED BY '{WEAK}'")
        ENGINE.set_password(admin, new, old)

    assert world.logs_in(new)
    assert not world.logs_in(old)


def test_a_policy_against_re_use_lets_a_call_be_repeated(world: MySQLWorld, admin: Credentials) -> None:
    old = world.user()
    new = replace(old, password=GOOD)

    with policy(world, "password_reuse_check"):
        ENGINE.set_password(admin, new)
        ENGINE.set_password(admin, new)
        ENGINE.set_password(admin, next_of(old))
        with pytest.raises(PasswordRejectedError, match="password_reuse_check"):
            ENGINE.set_password(admin, new)

    assert not world.logs_in(new)


# A second user with the same rights.


def clone_of(user: Credentials) -> Credentials:
    return replace(user, username=f"{user.username}_clone", password=f"clone of {user.password}")


RIGHTS = {
    "of a database": ["SELECT, INSERT, UPDATE ON shop.*"],
    "of a table": ["SELECT, DELETE ON shop.orders"],
    "of columns": ["SELECT (id, price), INSERT (id), UPDATE ON shop.orders"],
    "to grant": ["SELECT ON shop.* TO {} WITH GRANT OPTION", "INSERT ON shop.orders TO {} WITH GRANT OPTION"],
    "only to grant": ["USAGE ON shop.* TO {} WITH GRANT OPTION"],
    "all": ["ALL PRIVILEGES ON shop.*", "SELECT ON shop.orders"],
    "all, and to grant": ["ALL PRIVILEGES ON shop.* TO {} WITH GRANT OPTION"],
    "of routines": ["EXECUTE ON PROCEDURE shop.count_orders", "ALTER ROUTINE, EXECUTE ON FUNCTION shop.one"],
    "of a pattern": ["SELECT ON `sh\\_p%`.*"],
    "of unusual names": ["SELECT (`c,d)`, `on`) ON `sh``op to.x`.`t.a``b'`", "INSERT ON `sh``op to.x`.*"],
    "of everything": ["SELECT, RELOAD, PROCESS ON *.*"],
    "of roles": ["reader", "`ro``le to 2` TO {} WITH ADMIN OPTION"],
    "of a proxy": ["PROXY ON 'some''one'@'%'", "PROXY ON nobody TO {} WITH GRANT OPTION"],
    "none": [],
}


@pytest.fixture(scope="module")
def objects(running: MySQLWorld) -> None:
    running.sql(
        "CREATE PROCEDURE shop.count_orders() SELECT COUNT(*) FROM shop.orders",
        "CREATE FUNCTION shop.one() RETURNS INT RETURN 1",
        "CREATE DATABASE `sh``op to.x`",
        "CREATE TABLE `sh``op to.x`.`t.a``b'` (`c,d)` INT, `on` INT)",
        "CREATE ROLE IF NOT EXISTS reader",
        "CREATE ROLE `ro``le to 2`",
        "GRANT SELECT ON shop.orders TO reader",
    )


def grant(world: MySQLWorld, user: Credentials, rights: list[str], host: str = "%") -> None:
    for right in rights:
        words = right if "TO {}" in right else f"{right} TO {{}}"
        world.sql("GRANT " + words.format(account(user, host)))


def root(world: MySQLWorld) -> Credentials:
    return replace(world.user(), username="root", password=world.server.admin_password)


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("rights", RIGHTS.values(), ids=RIGHTS)
def test_a_clone_has_the_rights_and_the_first_user_stays_as_it_was(world: MySQLWorld, rights: list[str]) -> None:
    app = world.user()
    clone = clone_of(app)
    grant(world, app, rights)
    before = stated(world, app)

    ENGINE.clone_user(root(world), app, clone, known=True)

    assert world.logs_in(clone)
    assert world.logs_in(app)
    assert stated(world, app) == before
    assert ENGINE.rights(clone) == ENGINE.rights(app)


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("had", RIGHTS.values(), ids=RIGHTS)
@pytest.mark.parametrize("wanted", [RIGHTS[name] for name in ("of a table", "of columns", "all", "of roles", "none")])
def test_a_clone_loses_what_the_first_user_does_not_have(world: MySQLWorld, had: list[str], wanted: list[str]) -> None:
    app = world.user()
    clone = clone_of(app)
    world.server.create_user(clone.username, "before")
    grant(world, clone, had)
    grant(world, app, wanted)
    before = stated(world, app)

    ENGINE.clone_user(root(world), app, clone, known=True)

    assert world.logs_in(clone)
    assert not world.logs_in(replace(clone, password="before"))
    assert stated(world, app) == before
    assert ENGINE.rights(clone) == ENGINE.rights(app)


def test_users_take_turns_and_a_right_taken_from_one_is_taken_from_the_next(
    world: MySQLWorld, cloner: Credentials
) -> None:
    app = world.user()
    clone = clone_of(app)
    grant(world, app, ["SELECT, INSERT ON shop.*"])

    ENGINE.clone_user(cloner, app, clone, known=True)
    world.sql(f"REVOKE INSERT ON shop.* FROM {account(clone)}", f"GRANT DELETE ON shop.orders TO {account(clone)}")
    back = next_of(app)
    ENGINE.clone_user(cloner, clone, back, known=True)

    assert (world.logs_in(clone), world.logs_in(back), world.logs_in(app)) == (True, True, False)
    assert ENGINE.rights(back) == {"SELECT ON `shop`.*", "DELETE ON `shop`.`orders`"}
    assert ENGINE.rights(clone) == ENGINE.rights(back)


def test_a_clone_has_every_host_with_its_own_rights(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    clone = clone_of(app)
    world.server.create_user(app.username, app.password, "127.0.0.%")
    grant(world, app, ["SELECT ON shop.*"])
    grant(world, app, ["DELETE ON shop.orders"], "127.0.0.%")

    ENGINE.clone_user(cloner, app, clone, known=True)

    assert ENGINE.rights(clone) == {"DELETE ON `shop`.`orders`"}
    world.sql(f"DROP USER {account(clone, '127.0.0.%')}")
    assert ENGINE.rights(clone) == {"SELECT ON `shop`.*"}


def test_a_host_of_the_clone_alone_is_named_and_nothing_changes(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    clone = clone_of(app)
    world.server.create_user(clone.username, "before", "127.0.0.1")
    before = stated(world, clone, "127.0.0.1")

    with pytest.raises(RightsDifferError, match=r"also logs in from \['127.0.0.1'\]"):
        ENGINE.clone_user(cloner, app, clone, known=True)

    assert stated(world, clone, "127.0.0.1") == before
    assert not world.logs_in(clone)


def test_a_clone_has_the_same_requirements_and_limits(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    clone = clone_of(app)
    limits = "MAX_QUERIES_PER_HOUR 901 MAX_UPDATES_PER_HOUR 902 MAX_CONNECTIONS_PER_HOUR 903 MAX_USER_CONNECTIONS 4"
    world.sql(f"ALTER USER {account(app)} REQUIRE SSL WITH {limits} MAX_STATEMENT_TIME 2.5")

    ENGINE.clone_user(cloner, app, clone, known=True)
    assert stored(world, clone) == stored(world, app)
    world.sql(f"ALTER USER {account(app)} REQUIRE ISSUER 'o''k' AND SUBJECT '/CN=a\\b' AND CIPHER 'c'")
    ENGINE.clone_user(cloner, app, clone, known=True)
    assert stored(world, clone) == stored(world, app)
    world.sql(f"ALTER USER {account(app)} REQUIRE NONE WITH MAX_USER_CONNECTIONS 0")
    ENGINE.clone_user(cloner, app, clone, known=True)
    assert stated(world, clone)[0][0][0].partition(" REQUIRE")[1] == ""
    assert world.logs_in(clone)


@pytest.mark.parametrize("who", ["app", "clone"])
def test_an_expiry_is_not_copied_and_a_clones_own_ends(world: MySQLWorld, cloner: Credentials, who: str) -> None:
    app = world.user()
    clone = clone_of(app)
    world.server.create_user(clone.username, clone.password)
    world.sql(f"ALTER USER {account(app if who == 'app' else clone)} PASSWORD EXPIRE")

    ENGINE.clone_user(cloner, app, clone, known=True)

    ENGINE.verify(clone)


def test_a_clones_lock_ends_and_that_of_the_first_user_is_copied_host_by_host(
    world: MySQLWorld, cloner: Credentials
) -> None:
    app = world.user()
    clone = clone_of(app)
    world.server.create_user(clone.username, clone.password)
    world.server.create_user(app.username, app.password, host="10.1.2.3")
    world.sql(f"ALTER USER {account(clone)} ACCOUNT LOCK")
    world.sql(f"ALTER USER '{app.username}'@'10.1.2.3' ACCOUNT LOCK")

    ENGINE.clone_user(cloner, app, clone, known=True)

    ENGINE.verify(clone)
    locked = "SELECT Host FROM mysql.global_priv WHERE JSON_VALUE(Priv, '$.account_locked') AND User = '{}'"
    assert world.sql(locked.format(clone.username)) == world.sql(locked.format(app.username)) == (("10.1.2.3",),)


def test_a_user_who_exists_and_is_not_proven_is_left_alone(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    other = world.user(f"{app.username}_clone")

    with pytest.raises(InvalidSecretError, match="exists already"):
        ENGINE.clone_user(cloner, app, next_of(other), known=False)

    assert world.logs_in(other)


def test_what_an_earlier_call_had_made_with_the_new_password_is_completed(
    world: MySQLWorld, cloner: Credentials
) -> None:
    app = world.user()
    clone = clone_of(app)
    world.server.create_user(clone.username, clone.password)
    world.sql(f"ALTER USER {account(clone)} ACCOUNT LOCK")

    ENGINE.clone_user(cloner, app, clone, known=False)

    assert world.logs_in(clone)


def test_two_calls_at_once_make_one_clone_with_the_password_of_one_of_them(
    world: MySQLWorld, cloner: Credentials
) -> None:
    app = world.user()
    grant(world, app, ["SELECT ON shop.*", "DELETE ON shop.orders"])
    clones = [next_of(clone_of(app)) for _ in range(3)]

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda clone: ENGINE.clone_user(cloner, app, clone, known=True), clones))

    [clone] = [clone for clone in clones if world.logs_in(clone)]
    assert ENGINE.rights(clone) == ENGINE.rights(app)


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize("default", ["reader", "`ro``le to 2`"])
def test_a_clones_default_role_follows(world: MySQLWorld, default: str) -> None:
    app = world.user()
    clone = clone_of(app)
    world.server.create_user(clone.username, clone.password)
    for user in (app, clone):
        grant(world, user, ["reader", "`ro``le to 2`"])
    world.sql(f"SET DEFAULT ROLE {default} FOR {account(clone)}")

    ENGINE.clone_user(root(world), app, clone, known=True)
    assert ENGINE.rights(clone) == ENGINE.rights(app)
    world.sql(f"SET DEFAULT ROLE reader FOR {account(app)}")
    ENGINE.clone_user(root(world), app, clone, known=True)

    assert ENGINE.rights(clone) == ENGINE.rights(app)


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize(
    "half",
    [
        "CREATE USER {clone} ACCOUNT LOCK",
        "CREATE USER {clone} IDENTIFIED BY 'other'; GRANT DELETE ON shop.* TO {clone}; GRANT reader TO {clone}",
        "CREATE USER {clone} ACCOUNT LOCK; GRANT SELECT ON shop.* TO {clone}",
    ],
)
def test_a_clone_that_was_left_half_made_is_completed(world: MySQLWorld, half: str) -> None:
    app = world.user()
    clone = clone_of(app)
    grant(world, app, ["SELECT, INSERT ON shop.*", "reader"])
    world.sql(f"SET DEFAULT ROLE reader FOR {account(app)}")
    world.sql(*half.format(clone=account(clone)).split("; "))

    ENGINE.clone_user(root(world), app, clone, known=True)
    ENGINE.clone_user(root(world), app, clone, known=True)

    assert world.logs_in(clone)
    assert ENGINE.rights(clone) == ENGINE.rights(app)
    assert "DEFAULT ROLE `reader`" in ENGINE.rights(clone)


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize(
    "right", ["SELECT ON shop.*", "RELOAD ON *.*", "INSERT ON shop.orders", "reader", "PROXY ON x"]
)
def test_an_administrator_who_may_not_give_a_right_lacks_it_and_the_clone_has_no_right_yet(
    world: MySQLWorld, admin: Credentials, right: str
) -> None:
    app = world.user()
    clone = clone_of(app)
    grant(world, app, [right])
    world.sql(f"GRANT SELECT ON mysql.* TO {account(admin)}")

    with pytest.raises(RightsDifferError, match="denied"):
        ENGINE.clone_user(admin, app, clone, known=True)

    assert ENGINE.rights(clone) == frozenset()


@pytest.mark.usefixtures("objects")
def test_least_rights_to_clone_a_user_with_a_role(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    clone = clone_of(app)
    grant(world, app, ["reader"])
    world.sql(f"GRANT reader TO {account(cloner)} WITH ADMIN OPTION")
    ENGINE.clone_user(cloner, app, clone, known=True)
    assert ENGINE.rights(clone) == {"ROLE `reader`"}

    world.sql(f"SET DEFAULT ROLE reader FOR {account(app)}", f"GRANT UPDATE ON mysql.* TO {account(cloner)}")
    ENGINE.clone_user(cloner, app, clone, known=True)

    assert ENGINE.rights(clone) == {"ROLE `reader`", "DEFAULT ROLE `reader`", "SELECT ON `shop`.`orders`"}


def test_a_password_that_a_policy_refuses_makes_no_clone(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    clone = replace(clone_of(app), password=WEAK)

    with policy(world, "simple_password_check"), pytest.raises(PasswordRejectedError):
        ENGINE.clone_user(cloner, app, clone, known=True)

    with policy(world, "simple_password_check"):
        ENGINE.clone_user(cloner, app, replace(clone, password=GOOD), known=True)
    assert world.logs_in(replace(clone, password=GOOD))


def test_another_way_of_the_clone_to_log_in_is_not_taken_away(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    clone = clone_of(app)
    world.sql(f"CREATE USER {account(clone)} IDENTIFIED VIA ed25519 USING PASSWORD('x')")

    with pytest.raises(InvalidSecretError, match="logs in by ed25519"):
        ENGINE.clone_user(cloner, app, clone, known=True)


@pytest.mark.parametrize("name", NAMES[:-2])
def test_a_clone_of_any_name_works(world: MySQLWorld, cloner: Credentials, name: str) -> None:
    app = world.user(f"{name}!", "old'\\secret")
    clone = clone_of(app)
    grant(world, app, ["SELECT (id) ON shop.orders"])

    ENGINE.clone_user(cloner, app, clone, known=True)

    assert world.logs_in(clone)
    assert ENGINE.rights(clone) == ENGINE.rights(app) == {"SELECT (`id`) ON `shop`.`orders`"}


def test_a_clones_name_that_is_too_long_is_the_secrets_fault(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user("x" * 128)

    with pytest.raises(InvalidSecretError, match="too long for user name"):
        ENGINE.clone_user(cloner, app, clone_of(app), known=True)


def test_a_user_to_clone_who_does_not_exist_is_named(world: MySQLWorld, cloner: Credentials) -> None:
    nobody = replace(world.user(), username="nobody at all")

    with pytest.raises(InvalidSecretError, match=r"'nobody at all' at 127.* does not exist"):
        ENGINE.clone_user(cloner, nobody, clone_of(nobody), known=True)


CALLS = {
    "a view": ("CREATE VIEW v AS SELECT id FROM orders", "SELECT * FROM v", "CREATE OR REPLACE VIEW v AS SELECT 1"),
    "a view of its caller": ("CREATE SQL SECURITY INVOKER VIEW i AS SELECT 1", "SELECT * FROM i", "DROP VIEW i"),
    "a procedure": ("CREATE PROCEDURE p() SELECT 1", "CALL p()", "ALTER PROCEDURE p COMMENT 'x'", "DROP PROCEDURE p"),
    "a function": ("CREATE FUNCTION f() RETURNS INT RETURN 1", "SELECT f()", "DROP FUNCTION f"),
    "a trigger": (
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.price = 1",
        "INSERT INTO orders VALUES (1, 2)",
        "CREATE OR REPLACE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.price = 2",
        "DROP TRIGGER t",
    ),
    "an event": ("CREATE EVENT e ON SCHEDULE EVERY 9 DAY DO SELECT 1", "ALTER EVENT e COMMENT 'x'", "DROP EVENT e"),
    "a table": (
        "CREATE TABLE made (id INT)",
        "INSERT INTO made VALUES (1)",
        "ALTER TABLE made ADD x INT",
        "DROP TABLE made",
    ),
}


@pytest.mark.parametrize("statements", CALLS.values(), ids=CALLS)
def test_what_one_of_two_equal_users_has_made_the_other_uses_changes_and_drops(
    world: MySQLWorld, cloner: Credentials, statements: tuple[str, ...]
) -> None:
    app = world.user()
    clone = clone_of(app)
    grant(world, app, ["ALL PRIVILEGES ON shop.*"])
    ENGINE.clone_user(cloner, app, clone, known=True)

    with world.server.connection(app.username, app.password) as first:
        first.execute("USE shop")
        first.execute(statements[0])
    with world.server.connection(clone.username, clone.password) as second:
        second.execute("USE shop")
        for statement in statements[1:]:
            second.execute(statement)


def test_alter_view_is_for_its_definer_alone(world: MySQLWorld, cloner: Credentials) -> None:
    app = world.user()
    clone = clone_of(app)
    grant(world, app, ["ALL PRIVILEGES ON shop.*"])
    ENGINE.clone_user(cloner, app, clone, known=True)

    with world.server.connection(app.username, app.password) as first:
        first.execute("CREATE VIEW shop.only AS SELECT 1")
    with (
        world.server.connection(clone.username, clone.password) as second,
        pytest.raises(pymysql.OperationalError, match="SET USER"),
    ):
        second.execute("ALTER VIEW shop.only AS SELECT 2")


# Rights.


def test_rights_do_not_depend_on_the_name(world: MySQLWorld, cloner: Credentials) -> None:
    app, other = world.user(), world.user("o'ther`s \\ TO `x`")
    for user in (app, other):
        grant(world, user, ["SELECT (id), DELETE ON shop.orders", "CREATE VIEW ON shop.* TO {} WITH GRANT OPTION"])

    assert ENGINE.rights(app) == ENGINE.rights(other)
    assert ENGINE.rights(app) == {
        "SELECT (`id`) ON `shop`.`orders`",
        "DELETE ON `shop`.`orders`",
        "CREATE VIEW ON `shop`.*",
        "GRANT OPTION ON `shop`.*",
    }


@pytest.mark.usefixtures("objects")
def test_rights_of_the_role_that_is_active_count_too(world: MySQLWorld) -> None:
    app = world.user()
    grant(world, app, ["reader"])
    assert ENGINE.rights(app) == {"ROLE `reader`"}

    world.sql(f"SET DEFAULT ROLE reader FOR {account(app)}")

    assert ENGINE.rights(app) == {"ROLE `reader`", "DEFAULT ROLE `reader`", "SELECT ON `shop`.`orders`"}


# As MySQL 8 states them: https://dev.mysql.com/doc/refman/8.0/en/show-grants.html (no server at hand).
AS_MYSQL_STATES = {
    "GRANT SELECT, BINLOG MONITOR ON *.* TO `u`@`%` WITH GRANT OPTION": {
        "SELECT ON *.*",
        "BINLOG MONITOR ON *.*",
        "GRANT OPTION ON *.*",
    },
    "GRANT BACKUP_ADMIN,XA_RECOVER_ADMIN ON *.* TO `u`@`%`": {"BACKUP_ADMIN ON *.*", "XA_RECOVER_ADMIN ON *.*"},
    "GRANT `r1`@`%`,`r2`@`local``host` TO `u`@`%`": {"ROLE `r1`@`%`", "ROLE `r2`@`local``host`"},
    "GRANT SELECT (`a`, `b`) ON `db`.`t` TO `u`@`%`": {"SELECT (`a`) ON `db`.`t`", "SELECT (`b`) ON `db`.`t`"},
    "GRANT PROXY ON ``@`` TO `u`@`%` WITH GRANT OPTION": {"PROXY WITH GRANT OPTION ON ``@``"},
    "GRANT USAGE ON *.* TO `u`@`%`": set(),
}


@pytest.mark.parametrize("line", AS_MYSQL_STATES)
def test_rights_are_read_as_mysql_states_them(line: str) -> None:
    assert {str(right) for right in rights([line])} == AS_MYSQL_STATES[line]


def test_a_right_that_cannot_be_granted_again_is_named() -> None:
    with pytest.raises(InvalidSecretError, match="'REVOKE SELECT ON `mysql"):
        rights(["REVOKE SELECT ON `mysql`.* FROM `u`@`%`"])


def test_rights_are_for_who_logs_in(world: MySQLWorld) -> None:
    with pytest.raises(LoginRefusedError):
        ENGINE.rights(next_of(world.user()))


# What is read.


@pytest.mark.parametrize("right", ["SELECT ON shop.*", "SELECT (id) ON shop.orders"])
def test_a_table_that_may_be_read_proves_it(world: MySQLWorld, right: str) -> None:
    user = world.user()
    grant(world, user, [right])

    ENGINE.verify(user, ["shop.orders"])
    ENGINE.verify(replace(user, dbname="shop"), ["orders", "shop.orders"])


@pytest.mark.parametrize("name", ["shop.orders", "shop.nothing", "nowhere.orders"])
def test_a_table_that_may_not_be_read_is_named(world: MySQLWorld, name: str) -> None:
    user = world.user()
    grant(world, user, ["INSERT ON shop.orders"])

    with pytest.raises(RightsDifferError, match=f"SELECT command denied.*`{name.replace('.', '`.`')}`"):
        ENGINE.verify(user, [name])


NO_TABLES = [
    "shop.nothing",
    "shop.`",
    "shop.a.b",
    "shop.x`; DROP TABLE orders; --",
    "shop.",
    "shop." + "x" * 65,
    "shop.🦊",
]


@pytest.mark.parametrize("name", NO_TABLES)
def test_a_table_that_does_not_exist_is_named(world: MySQLWorld, name: str) -> None:
    user = world.user()
    grant(world, user, ["SELECT ON shop.*"])

    with pytest.raises(InvalidSecretError):
        ENGINE.verify(user, [name])


def test_a_table_in_no_database_is_named(world: MySQLWorld) -> None:
    with pytest.raises(InvalidSecretError, match="table 'orders' is in no database"):
        ENGINE.verify(world.user(), ["orders"])


def test_a_view_whose_definer_lost_its_rights_is_named(world: MySQLWorld) -> None:
    user, definer = world.user(), world.user()
    grant(world, definer, ["SELECT ON shop.*"])
    world.sql(f"CREATE OR REPLACE DEFINER = {account(definer)} VIEW shop.broken AS SELECT id FROM shop.orders")
    grant(world, user, ["SELECT ON shop.*"])
    ENGINE.verify(user, ["shop.broken"])

    world.sql(f"REVOKE SELECT ON shop.* FROM {account(definer)}")

    with pytest.raises(RightsDifferError, match=r"shop\.broken"):
        ENGINE.verify(user, ["shop.broken"])


# Errors.


def test_a_database_that_does_not_exist_is_the_secrets_fault(world: MySQLWorld) -> None:
    user = world.user()
    grant(world, user, ["SELECT ON *.*"])

    with pytest.raises(InvalidSecretError, match="Unknown database 'nowhere'"):
        ENGINE.verify(replace(user, dbname="nowhere"))


def test_a_user_who_may_not_enter_the_database_lacks_a_right(world: MySQLWorld) -> None:
    with pytest.raises(RightsDifferError, match="to database 'shop'"):
        ENGINE.verify(replace(world.user(), dbname="shop"))


def test_a_password_is_set_whatever_became_of_the_database(world: MySQLWorld) -> None:
    old = replace(world.user(), dbname="nowhere")
    new = next_of(old)

    ENGINE.set_password(old, new)

    assert world.logs_in(replace(new, dbname=""))


@pytest.mark.parametrize(
    "change", ["ALTER USER {} ACCOUNT LOCK", "ALTER USER {} PASSWORD EXPIRE", "RENAME USER {} TO {}x", "DROP USER {}"]
)
def test_a_user_who_may_not_log_in_is_refused(world: MySQLWorld, change: str) -> None:
    user = world.user()
    world.sql(change.replace("{}x", literal(f"gone {user.username}")).format(account(user)))

    with pytest.raises(LoginRefusedError):
        ENGINE.verify(user)
    with pytest.raises(LoginRefusedError):
        ENGINE.set_password(user, next_of(user))


def test_an_expired_password_is_refused_where_the_server_disconnects(world: MySQLWorld) -> None:
    user = world.user()
    world.sql("SET GLOBAL disconnect_on_expired_password = 1", f"ALTER USER {account(user)} PASSWORD EXPIRE")

    with pytest.raises(LoginRefusedError, match="expired"):
        ENGINE.verify(user)

    world.sql("SET GLOBAL disconnect_on_expired_password = 0")


def test_a_log_in_that_the_server_wants_inside_tls_is_refused(world: MySQLWorld) -> None:
    user = world.user()
    world.sql("SET GLOBAL require_secure_transport = 0")
    ENGINE.verify(replace(user, ssl=False))
    world.sql(f"ALTER USER {account(user)} REQUIRE SSL")

    with pytest.raises(LoginRefusedError, match="Access denied"):
        ENGINE.verify(replace(user, ssl=False))

    world.sql("SET GLOBAL require_secure_transport = 1")
    ENGINE.verify(user)


def test_a_host_without_an_account_is_refused(world: MySQLWorld) -> None:
    user = world.user()
    world.sql(f"RENAME USER {account(user)} TO {account(user, '10.0.0.1')}")

    with pytest.raises(LoginRefusedError):
        ENGINE.verify(user)


def test_a_user_may_not_change_another_ones_password(world: MySQLWorld) -> None:
    user, other = world.user(), world.user()

    with pytest.raises(RightsDifferError, match="SELECT command denied"):
        ENGINE.set_password(user, next_of(other))
    world.sql(f"GRANT SELECT ON mysql.* TO {account(user)}")
    with pytest.raises(RightsDifferError, match="CREATE USER"):
        ENGINE.set_password(user, next_of(other))

    assert world.logs_in(other)


def test_a_server_that_is_read_only_is_unavailable(world: MySQLWorld, admin: Credentials) -> None:
    user = world.user()
    world.sql("SET GLOBAL read_only = 1")

    for login in (user, admin):
        with pytest.raises(UnavailableError, match="--read-only"):
            ENGINE.set_password(login, next_of(user))

    world.sql("SET GLOBAL read_only = 0")
    assert world.logs_in(user)


def test_a_user_with_too_many_connections_is_unavailable(world: MySQLWorld) -> None:
    user = world.user()
    world.sql(f"ALTER USER {account(user)} WITH MAX_USER_CONNECTIONS 1")

    with world.session(user), pytest.raises(UnavailableError, match="max_user_connections"):
        ENGINE.verify(user)


def test_a_call_whose_session_is_killed_is_unavailable(world: MySQLWorld) -> None:
    old = world.user()
    new = next_of(old)

    with ThreadPoolExecutor() as pool, world.blocked(old.username):
        change = pool.submit(ENGINE.set_password, old, new)
        until(world.waiting)
        world.sql(f"KILL USER {account(old, '%')}")
        assert isinstance(change.exception(), UnavailableError)

    assert world.logs_in(old)
    assert not world.logs_in(new)


def test_what_the_server_says_of_a_statement_that_it_does_not_know_is_not_told(world: MySQLWorld) -> None:
    with pytest.raises(InvalidSecretError) as error, mysql._login(world.user()) as session:
        session.run("ALTER USER USER() IDENTIFIED BY 'never told' RETAIN CURRENT PASSWORD")

    assert "never told" not in str(error.value)


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ORACLE", "PAD_CHAR_TO_FULL_LENGTH"])
def test_settings_of_the_server_do_not_stand_in_the_way(world: MySQLWorld, cloner: Credentials, mode: str) -> None:
    before = world.sql("SELECT @@GLOBAL.sql_mode")[0][0]
    app = world.user(f"a`b'c\\ {mode}", "old'\\")
    grant(world, app, ["SELECT (id) ON shop.orders"])
    clone = clone_of(app)
    world.sql(f"SET GLOBAL sql_mode = '{mode}'", "SET GLOBAL sql_quote_show_create = 0", "SET GLOBAL autocommit = 0")

    ENGINE.clone_user(cloner, app, clone, known=True)
    ENGINE.set_password(clone, next_of(clone))
    ENGINE.set_password(cloner, clone)
    rights = ENGINE.rights(clone)

    world.sql(f"SET GLOBAL sql_mode = '{before}'", "SET GLOBAL sql_quote_show_create = 1", "SET GLOBAL autocommit = 1")
    assert world.logs_in(clone)
    assert rights == {"SELECT (`id`) ON `shop`.`orders`"}


def test_an_error_says_what_the_server_said_and_its_number(world: MySQLWorld) -> None:
    user = next_of(world.user())

    with pytest.raises(RotationError) as error:
        ENGINE.verify(user)

    assert str(error.value) == (
        f"user '{user.username}' at 127.0.0.1:{world.port}: "
        f"Access denied for user '{user.username}'@'127.0.0.1' (using password: YES) (error 1045)"
    )


GREETINGS = {
    "no version": b"\x0a",
    "a version that is none": b"\x0aabc\0" + bytes(40),
    "text": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
def test_a_greeting_that_is_none_is_unavailable(world: MySQLWorld, greeting: bytes) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)

    user = world.user()
    with answering(talk) as port, pytest.raises(UnavailableError, match=rf"at 127\.0\.0\.1:{port}: .+"):
        ENGINE.verify(replace(user, port=port))


def test_accounts_of_one_name_with_different_passwords_are_not_changed_together(
    world: MySQLWorld, admin: Credentials
) -> None:
    mine = world.user()
    world.server.create_user(mine.username, "another person's", host="10.9.%")
    before = world.sql(f"SELECT Host, Priv FROM mysql.global_priv WHERE User = '{mine.username}'")

    with pytest.raises(InvalidSecretError, match="have different passwords"):
        ENGINE.set_password(admin, next_of(mine))

    assert world.sql(f"SELECT Host, Priv FROM mysql.global_priv WHERE User = '{mine.username}'") == before


def test_a_change_of_all_accounts_that_stopped_half_way_is_completed(world: MySQLWorld, admin: Credentials) -> None:
    old = world.user()
    new = next_of(old)
    world.server.create_user(old.username, new.password, host="127.0.0.%")

    ENGINE.set_password(admin, new)

    assert world.logs_in(new)
