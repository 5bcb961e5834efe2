"""What `rotatorctl doctor` believes of the stack is the template's, and what it would ask a server is answered."""

import shlex
from collections.abc import Iterator, Mapping

import pytest

from rotation.model import Credentials
from rotatorctl.checks import policies, server, stack
from tests.contract.mysql_world import MySQLWorld
from tests.contract.test_least_privilege import ADMIN, OWN
from tests.contract.test_template import ACTIONS
from tests.contract.worlds import PostgresWorld
from tests.templates import TEMPLATE

pytestmark = pytest.mark.xdist_group("rights")


def test_the_runtime_is_the_templates() -> None:
    assert TEMPLATE["Globals"]["Function"]["Runtime"] == stack.RUNTIME


def test_the_calls_that_policies_are_asked_for_are_those_that_the_roles_may_make() -> None:
    for work, rights in ((policies.OWN, OWN), (policies.ADMIN, ADMIN)):
        asked = {
            name.replace("Function", "Role"): {action.partition(":")[2] for action in actions}
            for name, actions in work.items()
        }

        assert asked == {role: set(actions) for role, actions in rights.items()}


def test_the_keys_are_asked_for_what_the_roles_may_do_with_them() -> None:
    asked = {name.replace("Function", "Role"): set(actions) for name, actions in policies.OWN_KEY.items()}
    held = {role: {action for action in actions if action.startswith("kms:")} for role, actions in ACTIONS.items()}

    assert asked == {role: actions for role, actions in held.items() if actions and role in asked}
    assert {role for role, actions in held.items() if "kms:Decrypt" in actions} == asked.keys()
    assert policies.ADMIN_KEY.keys() == policies.ADMIN.keys()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresWorld]:
    with PostgresWorld.started() as world:
        yield world


@pytest.fixture(scope="module")
def mysql() -> Iterator[MySQLWorld]:
    with MySQLWorld.started() as world:
        yield world


def statements(engine: str, texts: Mapping[str, str], user: Credentials) -> list[str]:
    """What the command that doctor shows would send."""
    return shlex.split(server.asked(engine, texts[engine], user))[-1].split("; ")


def test_postgres_answers_what_is_asked_about_its_rules_and_an_admins_rights(postgres: PostgresWorld) -> None:
    user = postgres.user("o'neil")
    admin = postgres.admin(user)

    assert postgres.sql(*statements("postgres", server.POLICY, user)) == [[None, -1]]
    assert ["password_encryption", "scram-sha-256"] in postgres.sql(statements("postgres", server.POLICY, user)[0])
    with postgres.server.connection(admin.username, admin.password) as connection:
        (text,) = statements("postgres", server.RIGHTS, user)
        assert connection.run(text) == [[admin.username, False, True, True]]


def test_mariadb_answers_what_is_asked_about_its_rules_and_an_admins_rights(mysql: MySQLWorld) -> None:
    user = mysql.user()

    settings, plugins = statements("mysql", server.POLICY, user)
    assert "max_password_errors" in dict(mysql.sql(settings))
    assert mysql.sql(plugins) is not None
    assert mysql.sql(*statements("mysql", server.RIGHTS, user))
