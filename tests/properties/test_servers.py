"""Names and passwords that quoting gets wrong are just names and passwords, on every server."""

import itertools
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rotation import engines
from rotation.engines.base import Engine
from rotation.errors import PasswordRejectedError, RotationError
from rotation.model import Credentials
from rotation.secret import Secret
from tests.contract.worlds import World
from tests.properties.inputs import HOSTS, ODD_PASSWORDS, PASSWORDS, leaked, texts
from tests.properties.users import users

# How many examples each server gets: nearly all the time is that of the second client's processes.
EXAMPLES = {"postgres": 8, "mariadb": 16, "mongo": 2, "redis": 16}
_number = itertools.count()

# What becomes of a name that is taken for a pattern, prepared, quoted twice or not at all, or cut.
_MISREAD = (
    str.swapcase,
    lambda name: name + "x",
    lambda name: re.sub("[^a-z0-9]", "_", name),
    lambda name: re.sub("[^a-z0-9]", "", name),
    lambda name: name.replace("'", "''").replace('"', '""').replace("`", "``"),
    lambda name: name.replace("\\", "\\\\"),
    lambda name: unicodedata.normalize("NFKC", name),
    lambda name: name.strip(),
    lambda name: name.replace("_", "x").replace("%", "xy"),
    lambda name: re.split("['\"`;%\n]", name)[-1],
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A name that no other example has, and one that is not it but could be taken for it."""
    number = f"u{next(_number)}z"
    name = number.join((draw(texts(4)), draw(texts(4))))
    other = draw(st.sampled_from(_MISREAD))(name)
    return name, other if other != name and number in other.lower() else f"{name}x"


def alike(one: str, other: str) -> bool:
    """Whether a server that prepares passwords may take one for the other."""
    kept = ("".join(each for each in text if unicodedata.category(each) != "Cf") for text in (one, other))
    return len({unicodedata.normalize("NFKC", text) for text in kept}) == 1


@contextmanager
def only(kind: str, world: World, changing: str = "", admin: str = "") -> Iterator[None]:
    """Of all that the server keeps of its users, just what it keeps of this one changes, and nobody comes or goes.

    Whoever makes a role in PostgreSQL becomes its administrator, so that is an entry of the admin's.
    """
    before = users(kind, world)
    yield
    after = users(kind, world)
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed - {admin} == ({changing} if changing else set())
    assert changed <= set(after)


def taken(world: World, password: str) -> str:
    """As much of the password as clients of this server can log in with."""
    return password if world.takes_password(password) else "".join(each for each in password if " " <= each <= "~")


def made(world: World, name: str, password: str) -> Credentials:
    return world.user(name if world.takes(name) else None, taken(world, password))


def test_any_name_and_password_change_by_the_user_or_its_admin_and_nobody_else_does(
    kind: str, world: World, engine: Engine
) -> None:
    @settings(max_examples=EXAMPLES[kind])
    @given(pairs(), ODD_PASSWORDS, st.lists(ODD_PASSWORDS, min_size=1, max_size=3), st.booleans())
    def holds(names: tuple[str, str], old: str, news: list[str], by_admin: bool) -> None:
        user, bystander = made(world, names[0], old), made(world, names[1], old)
        admin = world.admin(user) if by_admin else None
        for new in news:
            before, user = user, replace(user, password=new)
            if not world.takes_password(new):
                with only(kind, world), pytest.raises(PasswordRejectedError) as error:
                    engine.set_password(admin or before, user)
                assert leaked(new, str(error.value)) == []
                user = before
            elif not alike(new, before.password):
                with only(kind, world, user.username):
                    engine.set_password(admin or before, user)
                assert not world.logs_in(before)
            else:
                user = before
            assert world.logs_in(user)
        assert world.logs_in(bystander)

    holds()


def test_any_name_and_password_take_turns_with_a_second_user_and_nobody_else_changes(
    kind: str, world: World, engine: Engine
) -> None:
    @settings(max_examples=(EXAMPLES[kind] + 1) // 2)
    @given(pairs(), PASSWORDS, ODD_PASSWORDS, ODD_PASSWORDS)
    def holds(names: tuple[str, str], old: str, first: str, second: str) -> None:
        source, bystander = made(world, names[0], old), made(world, names[1], old)
        clone = replace(source, username=f"{source.username}_clone", password=taken(world, first))
        again = replace(clone, password=taken(world, second))
        assume(world.takes(clone.username) and clone.username != bystander.username)
        assume(not alike(clone.password, again.password))
        admin = world.admin(source)

        with only(kind, world, clone.username, admin.username):
            engine.clone_user(admin, source, clone, known=False)
        with only(kind, world, clone.username):
            engine.clone_user(admin, source, again, known=True)

        assert engine.rights(again) == engine.rights(source)
        assert world.logs_in(again)
        assert not world.logs_in(clone)
        assert world.logs_in(bystander)

    if engines.ENGINES[kind].alternates:
        holds()


@pytest.mark.usefixtures("no_other_host")
def test_any_database_host_and_name_to_read_end_in_an_error_of_ours(kind: str, world: World, engine: Engine) -> None:
    user = world.user()
    odd = st.one_of(st.fixed_dictionaries({"host": HOSTS}), st.fixed_dictionaries({"dbname": texts()}))

    @settings(max_examples=40)
    @given(odd, st.lists(texts(), max_size=2))
    def holds(different: dict[str, str], reads: list[str]) -> None:
        try:
            fields = {"engine": kind, **vars(user), **different}
            secret = Secret.parse(json.dumps(fields), {"rotation:reads": " ".join(reads)}, engines.ENGINES)
            engine.verify(secret.credentials, secret.settings.reads)
        except RotationError as error:
            assert leaked(user.password, str(error)) == []

    holds()
    assert world.logs_in(user)
