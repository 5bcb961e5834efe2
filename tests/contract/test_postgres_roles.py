"""Two PostgreSQL users that take turns: made, kept equal, taken over as AWS's own rotation leaves them.

The admin is no superuser: it has what docs/engines.md asks for and no more.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pg8000.native as pg
import pytest

from rotation.engines.postgres import Postgres
from rotation.errors import InvalidSecretError, LoginRefusedError, RightsDifferError, RotationError
from rotation.model import Credentials
from tests.contract.worlds import PostgresWorld

pytestmark = pytest.mark.xdist_group("postgres")
ENGINE = Postgres()


@pytest.fixture(scope="module")
def running() -> Iterator[PostgresWorld]:
    with PostgresWorld.started() as world:
        yield world


@dataclass(frozen=True)
class Pair:
    """An application's user `app`, who owns a table, its clone-to-be, and the admin."""

    world: PostgresWorld
    admin: Credentials
    app: Credentials
    clone: Credentials
    table: str

    def rotate(self, source: Credentials, target: Credentials) -> Credentials:
        """The target with a new password, made equal to the source."""
        made = replace(target, password=f"new-{secrets.token_urlsafe(9)}")
        ENGINE.clone_user(self.admin, source, made, known=True)
        return made

    def run(self, user: Credentials, *statements: str) -> Any:
        with self.world.server.connection(user.username, user.password) as connection:
            return [connection.run(statement) for statement in statements][-1]

    def role(self, user: Credentials) -> Any:
        """Everything that the server keeps of a role, but for what others grant it later."""
        name = pg.literal(user.username)
        return self.world.sql(
            f"SELECT a.*, (SELECT array_agg(s.setconfig) FROM pg_db_role_setting s WHERE s.setrole = a.oid), "
            f"(SELECT array_agg(roleid) FROM pg_auth_members WHERE member = a.oid) "
            f"FROM pg_authid a WHERE rolname = {name}"
        )


@pytest.fixture
def pair(running: PostgresWorld, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setenv("PRIVATE_CA", running.ca_pem)
    name = f"app {secrets.token_hex(4)}"
    app = running.user(name)
    admin = running.admin(app)
    clone = replace(app, username=f"{name}_clone")
    running.sql(f'GRANT CREATE ON SCHEMA public TO "{name}"')
    table = f"orders_{secrets.token_hex(4)}"
    made = Pair(running, admin, app, clone, table)
    made.run(app, f"CREATE TABLE {table} (id int)")
    return made


def test_the_clone_is_made_logs_in_and_has_the_same_rights_while_the_current_user_stays_as_it_is(pair: Pair) -> None:
    before = pair.role(pair.app)

    clone = pair.rotate(pair.app, pair.clone)

    ENGINE.verify(clone, [pair.table])
    assert pair.world.logs_in(clone)
    assert pair.world.logs_in(pair.app)
    assert pair.role(pair.app) == before
    assert ENGINE.rights(clone) == ENGINE.rights(pair.app)
    assert f"SELECT on table public.{pair.table}" in ENGINE.rights(clone)


def test_what_either_user_makes_the_other_can_alter_read_and_drop(pair: Pair) -> None:
    clone = pair.rotate(pair.app, pair.clone)

    pair.run(clone, f"CREATE TABLE {pair.table}_2 (id int)", f"ALTER TABLE {pair.table} ADD COLUMN by_clone int")
    pair.run(pair.app, f"ALTER TABLE {pair.table}_2 ADD COLUMN by_app int", f"SELECT by_clone FROM {pair.table}")

    pair.run(clone, f"DROP TABLE {pair.table}")
    pair.run(pair.app, f"DROP TABLE {pair.table}_2")


def test_they_take_turns_and_each_turn_retires_the_password_before(pair: Pair) -> None:
    first = pair.rotate(pair.app, pair.clone)
    second = pair.rotate(first, pair.app)
    third = pair.rotate(second, first)

    assert pair.world.logs_in(third)
    assert pair.world.logs_in(second)
    assert not pair.world.logs_in(first)
    assert not pair.world.logs_in(pair.app)


def test_a_right_that_is_granted_or_taken_away_counts_for_both_at_once(pair: Pair) -> None:
    clone = pair.rotate(pair.app, pair.clone)
    pair.world.sql(f"CREATE TABLE {pair.table}_s (id int)", f'GRANT SELECT ON {pair.table}_s TO "{pair.app.username}"')

    ENGINE.verify(clone, [f"public.{pair.table}_s"])
    pair.world.sql(f'REVOKE SELECT ON {pair.table}_s FROM "{pair.app.username}"')

    with pytest.raises(RightsDifferError, match=f"permission denied for table {pair.table}_s"):
        ENGINE.verify(clone, [f"public.{pair.table}_s"])


def test_default_privileges_count_for_what_the_clone_makes(pair: Pair) -> None:
    reader = pair.world.user()
    pair.run(pair.app, f'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "{reader.username}"')
    clone = pair.rotate(pair.app, pair.clone)

    pair.run(clone, f"CREATE TABLE {pair.table}_d (id int)")

    ENGINE.verify(reader, [f"{pair.table}_d"])


def test_settings_and_limits_of_the_session_are_copied_each_time(pair: Pair) -> None:
    app, settings = f'ALTER ROLE "{pair.app.username}"', ("search_path", "work_mem", "shop.tenant")
    pair.world.sql(
        f'{app} SET search_path = "$user", \'a, "b\', public',
        f"{app} IN DATABASE postgres SET work_mem = '8MB'",
        f"{app} SET shop.tenant = 'o''brien, ltd'",
        f"{app} CONNECTION LIMIT 7 VALID UNTIL '2099-01-01 00:00:00+00'",
        # The superuser alone may set what no extension declares, unless he passes it on.
        f'GRANT SET ON PARAMETER shop.tenant TO "{pair.admin.username}"',
    )

    clone = pair.rotate(pair.app, pair.clone)

    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in settings)
    assert pair.run(clone, asked) == pair.run(pair.app, asked) == [['"$user", "a, ""b", public', "8MB", "o'brien, ltd"]]
    limits = "SELECT rolconnlimit, rolvaliduntil FROM pg_roles WHERE rolname = '{}'"
    assert pair.world.sql(limits.format(clone.username)) == pair.world.sql(limits.format(pair.app.username))

    pair.world.sql(f"{app} RESET search_path", f"{app} IN DATABASE postgres RESET ALL", f"{app} RESET shop.tenant")
    clone = pair.rotate(pair.app, clone)

    assert pair.run(clone, f"SELECT {asked[7:].partition(',')[0]}") == [['"$user", public']]
    stored = (
        f"SELECT setconfig FROM pg_db_role_setting JOIN pg_roles ON oid = setrole WHERE rolname = '{clone.username}'"
    )
    assert pair.world.sql(stored) == [[[f"role={pair.app.username}"]]]


def test_a_clone_that_was_half_made_is_completed(pair: Pair) -> None:
    with pair.world.server.connection(pair.admin.username, pair.admin.password) as admin:
        admin.run(f'CREATE ROLE "{pair.clone.username}"')
        admin.run(f'GRANT "{pair.app.username}" TO "{pair.clone.username}"')

    clone = pair.rotate(pair.app, pair.clone)

    ENGINE.verify(clone, [pair.table])
    assert ENGINE.rights(clone) == ENGINE.rights(pair.app)


def test_nothing_is_made_when_something_cannot_be(pair: Pair) -> None:
    with pytest.raises(RotationError):
        ENGINE.clone_user(replace(pair.app), pair.app, pair.clone, known=True)

    assert pair.world.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{pair.clone.username}'") == []


def test_an_admin_without_the_right_is_named_and_nothing_changes(pair: Pair) -> None:
    other = pair.world.user()

    with pytest.raises(RightsDifferError, match=rf"user '{pair.admin.username}'.*permission denied"):
        ENGINE.clone_user(pair.admin, other, replace(other, username=f"{other.username}_clone"), known=True)

    assert pair.world.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{other.username}_clone'") == []


def test_two_calls_at_once_leave_one_clone_with_one_of_the_two_passwords(pair: Pair) -> None:
    targets = [replace(pair.clone, password=f"new-{secrets.token_urlsafe(9)}") for _ in range(2)]

    def clone(target: Credentials) -> str:
        try:
            ENGINE.clone_user(pair.admin, pair.app, target, known=True)
        except RotationError as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(clone, targets))

    assert "done" in ends
    assert set(ends) <= {"done", "UnavailableError"}
    assert [pair.world.logs_in(target) for target in targets].count(True) == 1
    assert ENGINE.rights(next(target for target in targets if pair.world.logs_in(target))) == ENGINE.rights(pair.app)


@pytest.fixture
def taken_over(pair: Pair) -> Pair:
    """As AWS's own rotation leaves it: the clone is a member, acts as itself, and is the current user."""
    clone = pair.world.user(pair.clone.username)
    pair.world.sql(f'GRANT "{pair.app.username}" TO "{clone.username}"')
    pair.world.sql(f'GRANT "{clone.username}" TO "{pair.admin.username}" WITH ADMIN OPTION')
    pair.world.sql(f'GRANT CREATE ON SCHEMA public TO "{clone.username}"')
    pair.run(clone, f"CREATE TABLE {pair.table}_c (id int)")
    return replace(pair, clone=clone)


def test_what_a_clone_of_awss_rotation_owns_and_was_granted_goes_to_the_user_whose_turn_it_is(taken_over: Pair) -> None:
    pair, clone = taken_over, taken_over.clone
    pair.world.sql(f"CREATE TABLE {pair.table}_g (id int, note text)")
    pair.world.sql(f'GRANT UPDATE (note), SELECT ON {pair.table}_g TO "{clone.username}"')
    group = pair.world.user()
    pair.world.sql(f'GRANT "{group.username}" TO "{clone.username}"')
    pair.world.sql(f'GRANT "{group.username}" TO "{pair.admin.username}" WITH ADMIN OPTION')
    pair.world.sql(f'GRANT SELECT ON {pair.table}_g TO "{pair.admin.username}" WITH GRANT OPTION')
    pair.world.sql(f'GRANT UPDATE (note) ON {pair.table}_g TO "{pair.admin.username}" WITH GRANT OPTION')
    pair.world.sql(f'GRANT CREATE ON SCHEMA public TO "{pair.admin.username}" WITH GRANT OPTION')
    before = pair.role(clone)

    app = pair.rotate(clone, pair.app)

    assert ENGINE.rights(clone) <= ENGINE.rights(app)
    pair.run(app, f"ALTER TABLE {pair.table}_c ADD COLUMN by_app int", f"UPDATE {pair.table}_g SET note = ''")
    pair.run(clone, f"ALTER TABLE {pair.table}_c ADD COLUMN by_clone int")
    assert pair.role(clone) == before
    assert pair.world.logs_in(clone)


def test_what_a_clone_of_awss_rotation_owns_goes_to_the_other_also_when_its_own_turn_is_first(taken_over: Pair) -> None:
    pair = taken_over

    clone = pair.rotate(pair.app, pair.clone)

    pair.run(pair.app, f"ALTER TABLE {pair.table}_c ADD COLUMN by_app int")
    pair.run(clone, f"ALTER TABLE {pair.table}_c ADD COLUMN by_clone int")
    assert ENGINE.rights(clone) == ENGINE.rights(pair.app)


def test_a_clone_of_awss_rotation_acts_as_the_other_from_its_next_turn_on(taken_over: Pair) -> None:
    pair = taken_over
    app = pair.rotate(pair.clone, pair.app)

    clone = pair.rotate(app, pair.clone)

    assert pair.run(clone, "SELECT current_user") == [[app.username]]
    pair.run(clone, f"CREATE TABLE {pair.table}_n (id int)", f"ALTER TABLE {pair.table}_c ADD COLUMN again int")
    pair.run(app, f"DROP TABLE {pair.table}_n")
    assert ENGINE.rights(app) == ENGINE.rights(clone)


def test_a_right_that_the_other_user_lacks_is_seen_by_name(pair: Pair) -> None:
    clone = pair.world.user(pair.clone.username)
    pair.world.sql(f'GRANT "{pair.app.username}" TO "{clone.username}"')
    pair.world.sql(f"CREATE TABLE {pair.table}_x (id int)", f'GRANT INSERT ON {pair.table}_x TO "{clone.username}"')
    pair.world.sql(f'ALTER ROLE "{clone.username}" CREATEDB')

    assert ENGINE.rights(clone) - ENGINE.rights(pair.app) == {f"INSERT on table public.{pair.table}_x", "CREATEDB"}


def test_a_function_that_the_application_made_is_never_called_by_the_admin(pair: Pair) -> None:
    pair.run(
        pair.app,
        f"CREATE TABLE {pair.table}_log (who text)",
        f"GRANT INSERT ON {pair.table}_log TO PUBLIC",
        "CREATE FUNCTION public.hashtext(text) RETURNS int LANGUAGE sql AS "
        f"$$INSERT INTO public.{pair.table}_log VALUES (current_user); SELECT 1$$",
    )
    pair.world.sql(f'ALTER ROLE "{pair.admin.username}" SET search_path = public, pg_catalog')

    pair.rotate(pair.app, pair.clone)

    assert pair.run(pair.app, f"SELECT who FROM {pair.table}_log") == []
    pair.run(pair.app, "DROP FUNCTION public.hashtext(text)")


def test_a_table_to_read_from_that_does_not_exist_is_named(pair: Pair) -> None:
    with pytest.raises(InvalidSecretError, match=r'relation "public\.no table" does not exist'):
        ENGINE.verify(pair.app, ["public.no table"])


@pytest.mark.parametrize("name", ["shop.public.orders", "a.b.c.d", "pg_catalog.pg_class_oid_index"])
def test_what_is_no_name_of_a_table_to_read_from_is_the_secrets_fault(pair: Pair, name: str) -> None:
    with pytest.raises(InvalidSecretError, match=name.rpartition(".")[2]):
        ENGINE.verify(pair.app, [name])


def test_a_name_to_read_from_is_only_a_name(pair: Pair) -> None:
    with pytest.raises(InvalidSecretError, match="does not exist"):
        ENGINE.verify(pair.app, [f"{pair.table};DROP TABLE {pair.table}"])

    ENGINE.verify(pair.app, [pair.table])


def test_the_admin_is_refused_once_and_named(pair: Pair) -> None:
    refused = pair.world.log().count("password authentication failed")

    with pytest.raises(LoginRefusedError, match=f"user '{pair.admin.username}'"):
        ENGINE.clone_user(replace(pair.admin, password="wrong"), pair.app, pair.clone, known=True)

    assert pair.world.log().count("password authentication failed") == refused + 1


def test_a_user_who_exists_and_is_not_proven_is_left_alone(pair: Pair) -> None:
    other = pair.world.user(pair.clone.username)
    pair.world.sql(f'GRANT "{other.username}" TO "{pair.admin.username}" WITH ADMIN OPTION')
    pair.world.sql(f'GRANT "{pair.app.username}" TO "{other.username}"')
    before = pair.role(other)

    with pytest.raises(InvalidSecretError, match="exists already"):
        ENGINE.clone_user(pair.admin, pair.app, replace(other, password="another"), known=False)

    assert pair.role(other) == before


def test_a_user_who_shows_on_the_server_that_it_is_the_pairs_second_needs_no_other_proof(pair: Pair) -> None:
    clone = pair.rotate(pair.app, pair.clone)
    again = replace(clone, password="another")

    ENGINE.clone_user(pair.admin, pair.app, again, known=False)
    ENGINE.clone_user(pair.admin, again, replace(pair.app, password="a third"), known=False)

    assert pair.world.logs_in(again)
    assert not pair.world.logs_in(pair.app)


def test_what_an_application_sets_for_itself_is_never_run_by_the_admin(pair: Pair) -> None:
    database = f"shop_{secrets.token_hex(4)}"
    pair.world.sql(f'CREATE DATABASE {database} OWNER "{pair.app.username}"')
    stolen = f"stolen_{secrets.token_hex(4)}"
    pair.run(
        pair.app,
        f"ALTER DATABASE {database} SET standard_conforming_strings = off",
        f"ALTER DATABASE {database} SET lock_timeout = '1ms'",
        "ALTER ROLE CURRENT_USER SET application_name = "
        f"$q$x\\'; CREATE ROLE {stolen} LOGIN CREATEROLE; COMMIT; BEGIN; --$q$",
    )
    app = replace(pair.app, dbname=database)

    clone = replace(pair.clone, dbname=database)
    ENGINE.clone_user(pair.admin, app, clone, known=False)

    assert pair.world.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{stolen}'") == []
    assert pair.world.logs_in(clone)


@pytest.mark.parametrize("value", ["", "a", '"a b", c', '"a ""quoted"" one"'])
def test_every_search_path_is_copied_as_it_is(pair: Pair, value: str) -> None:
    with pair.world.server.connection(pair.app.username, pair.app.password) as app:
        app.run("SELECT set_config('search_path', :value, false)", value=value)
        app.run(f'ALTER ROLE "{pair.app.username}" SET search_path FROM CURRENT')

    clone = pair.rotate(pair.app, pair.clone)

    # The list with one empty name is how PostgreSQL writes an empty list.
    shown = [pair.run(user, "SHOW search_path")[0][0] for user in (clone, pair.app)]
    assert shown[0] == (shown[1] or '""')


def test_a_role_that_the_application_acts_as_is_acted_as_by_both(pair: Pair) -> None:
    owner = f"owner_{secrets.token_hex(4)}"
    pair.world.sql(
        f"CREATE ROLE {owner}", f'GRANT {owner} TO "{pair.app.username}"', f"GRANT CREATE ON SCHEMA public TO {owner}",
        f'ALTER ROLE "{pair.app.username}" SET role = {owner}',
    )  # fmt: skip

    clone = pair.rotate(pair.app, pair.clone)
    pair.run(clone, f"CREATE TABLE {pair.table}_o (id int)")
    pair.run(pair.app, f"ALTER TABLE {pair.table}_o ADD COLUMN by_app int")

    app = pair.rotate(clone, pair.app)
    assert pair.run(app, "SELECT current_user") == pair.run(clone, "SELECT current_user") == [[owner]]


def test_a_clone_that_is_told_to_act_as_itself_somewhere_is_told_otherwise(pair: Pair) -> None:
    clone = pair.rotate(pair.app, pair.clone)
    pair.world.sql(f'ALTER ROLE "{clone.username}" IN DATABASE postgres SET role = none')

    clone = pair.rotate(pair.app, clone)

    assert pair.run(clone, "SELECT current_user") == [[pair.app.username]]


def test_a_current_user_who_does_not_inherit_keeps_what_it_owns(taken_over: Pair) -> None:
    pair = taken_over
    pair.world.sql(
        f'REVOKE "{pair.app.username}" FROM "{pair.clone.username}"',
        f'GRANT "{pair.app.username}" TO "{pair.clone.username}" WITH INHERIT FALSE',
    )

    with pytest.raises(RightsDifferError) as error:
        pair.rotate(pair.clone, pair.app)

    clone, app = pair.clone.username, pair.app.username
    assert str(error.value) == (
        f"{clone!r} owns what {app!r} has to own, and would lose it, because it does not inherit from it: "
        f'GRANT "{app}" TO "{clone}" WITH INHERIT TRUE, or ALTER ROLE "{clone}" INHERIT'
    )

    ENGINE.verify(pair.clone, [f"{pair.table}_c"])


def test_default_privileges_of_a_clone_of_awss_rotation_go_along(taken_over: Pair) -> None:
    pair, reader = taken_over, taken_over.world.user()
    pair.run(pair.clone, f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO "{reader.username}"')

    app = pair.rotate(pair.clone, pair.app)
    pair.run(app, f"CREATE TABLE {pair.table}_p (id int)")

    ENGINE.verify(reader, [f"public.{pair.table}_p"])
    assert ENGINE.rights(pair.clone) <= ENGINE.rights(app)
