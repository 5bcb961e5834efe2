"""What is known of each engine before its driver is loaded."""

from dataclasses import astuple

import pytest

from rotation import engines
from rotation.engines import ENGINES
from rotation.engines.base import Engine, somebody_elses
from rotation.engines.generic import Generic
from rotation.errors import InvalidSecretError
from rotation.model import Credentials

# module, port, database, whether two users alternate, longest name, holds two passwords, users in databases, many hosts
POSTGRES = ("postgres", 5432, "postgres", True, 63, False, False, False)
MYSQL = ("mysql", 3306, "", True, 0, False, False, False)
REDIS = ("redis", 6379, "0", False, 0, True, False, False)
MONGO = ("mongo", 27017, "admin", True, 0, False, True, True)


def test_each_name_of_an_engine_has_its_traits() -> None:
    assert {name: astuple(traits) for name, traits in ENGINES.items()} == {
        "postgres": POSTGRES,
        "aurora-postgresql": POSTGRES,
        "mysql": MYSQL,
        "mariadb": MYSQL,
        "aurora-mysql": MYSQL,
        "mongo": MONGO,
        "redis": REDIS,
        "valkey": REDIS,
        "generic": ("generic", 0, "", False, 0, False, False, False),
    }


def test_generic_alone_has_no_server() -> None:
    assert [name for name, traits in ENGINES.items() if not traits.has_server] == ["generic"]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("retain", [True, False])
def test_the_engine_of_a_name_is_loaded_as_it_is_asked_for(name: str, retain: bool) -> None:
    engine = engines.load(ENGINES[name], retain=retain)

    assert type(engine).__module__ == f"rotation.engines.{ENGINES[name].module}"
    assert engine._retain is retain


def test_a_second_password_is_retained_only_where_it_is_asked_for() -> None:
    assert engines.load(ENGINES["mysql"])._retain is False
    assert Generic()._retain is False


def test_an_engine_that_cannot_let_users_alternate_says_so_by_its_name() -> None:
    engine: Engine = Generic()
    user = Credentials("app", "a password")

    with pytest.raises(InvalidSecretError, match=r"^generic does not support alternating users$"):
        engine.clone_user(user, user, user, known=True)
    with pytest.raises(InvalidSecretError, match=r"^generic cannot compare the rights of two users$"):
        engine.rights(user)


def test_a_user_who_may_be_somebody_elses_is_named_with_the_way_out() -> None:
    assert somebody_elses("app_clone") == (
        "a user 'app_clone' exists already, and AWSPREVIOUS of this secret is not for it: it may be somebody else's. "
        "If an earlier rotation of this secret has made it, drop it, and it is made anew"
    )
