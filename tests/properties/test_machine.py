"""Any secret with any tags, through the whole machine: what worked before works afterwards, and nothing leaks."""

import io
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rotation import errors
from rotation.model import Credentials
from tests.contract.worlds import World
from tests.function_log import logged_to
from tests.properties.inputs import ARN, HOSTS, MARK, PASSWORDS, TAGS, around, secrets_of, texts, texts_of
from tests.properties.users import users
from tests.workflow.conftest import RotatedSecret, create_secret
from tests.workflow.machine import Machine
from tests.workflow.test_secrecy import text

pytestmark = pytest.mark.xdist_group("postgres")

_number = itertools.count()
LARGEST_SECRET = 65_536


@pytest.fixture
def postgres(start: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> World:
    found = start("postgres")
    monkeypatch.setenv("PRIVATE_CA", found.ca_pem)
    return found


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logged_to(io.StringIO()) as log:
        yield log


@dataclass
class Drawn:
    """A secret's value, good or not, its tags, and the user on the server that a good one is for."""

    value: str
    tags: dict[str, str]
    user: Credentials


# What a look at the value alone does not find: it has to be tried on the server, or on the way there.
TRIED = st.one_of(
    st.fixed_dictionaries({"password": PASSWORDS}),
    st.fixed_dictionaries({"username": around("app")}),
    st.fixed_dictionaries({"dbname": texts()}),
    st.fixed_dictionaries({"host": HOSTS}),
    st.fixed_dictionaries({"port": st.integers(1, 1023)}),
    st.fixed_dictionaries({"ssl": st.just(False)}),
    st.fixed_dictionaries({"masterarn": st.just(ARN)}),
)
READS = st.fixed_dictionaries({"rotation:reads": texts().map("a".__add__)})


@st.composite
def drawn(draw: st.DrawFn, server: World) -> Drawn:
    user = server.user(f"app{next(_number)}", draw(PASSWORDS))
    good = {"engine": "postgres", "host": user.host, "port": user.port, "username": user.username}
    good |= {"dbname": user.dbname, "password": user.password}
    how = draw(st.sampled_from(("untrue", "untrue", "unreadable", "wrong", "wrong tags", "wrong text")))
    value, tags = json.dumps(good), {}
    if how == "untrue":
        value = json.dumps(good | draw(TRIED))
    elif how.startswith("wrong"):
        value = draw(texts_of(good) if how == "wrong text" else secrets_of(good))
    if how in ("unreadable", "wrong tags"):
        tags = draw(READS if how == "unreadable" else TAGS)
    assume(len(value.encode()) <= LARGEST_SECRET)
    return Drawn(value, tags, user)


def left(secret: RotatedSecret) -> Iterator[str]:
    """All that the executions of this secret recorded and said."""
    for each in secret.machine.executions():
        if secret.arn in each["input"]:
            yield text(secret.machine.history(each["executionArn"]))
            yield text([each.get(key) for key in ("output", "error", "cause")])


@pytest.mark.usefixtures("no_other_host")
def test_whatever_the_secret_is_it_is_rotated_or_all_is_as_it_was_and_told(
    machine: Machine, postgres: World, log: io.StringIO
) -> None:
    @settings(max_examples=20)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        found = data.draw(drawn(postgres))
        before, _ = users("postgres", postgres), log.truncate(0)
        arn = create_secret(machine, f"orders/{next(_number)}", found.value, found.tags)
        secret = RotatedSecret(machine, arn)

        ended = secret.rotate()

        changed = {name for name, rows in users("postgres", postgres).items() if before.get(name) != rows}
        assert changed <= {found.user.username}
        messages = machine.messages()
        assert [each for each in [text(messages), log.getvalue(), *left(secret)] if MARK in each] == []
        if ended == "RotationSucceeded":
            assert messages == []
            assert secret.text("AWSPREVIOUS") == found.value
            assert postgres.logs_in(found.user) == (not changed)
            return
        assert ended == "RotationFailed"
        assert secret.text() == found.value
        assert postgres.logs_in(found.user)
        (message,) = messages
        body = json.loads(message["Message"])
        assert body["error"] in vars(errors)
        assert not changed or body["outcome"] == "rolled back"

    holds()
