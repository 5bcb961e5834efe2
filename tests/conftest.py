"""What pytest and its plugins need to know of each other, and what takes time again and again."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import moto.core.models
import pytest
from _pytest.nodeid import NodeId

from tests import sdk
from tests.contract.worlds import WORLDS, World

# The groups that take longest, in that order. By itself pytest-xdist begins with those of the most tests.
BEGIN = "stack of rotatorctl", "offline stack"

sdk.remember()
# Each new account of moto's would have hundreds of machine images.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
# It would also answer who calls AWS with the library `requests`, by a thousand patterns: nobody here does.
moto.core.models.RESPONSES_METHODS.clear()


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[[str], World]]:
    """Gives the one running server of a kind."""
    with ExitStack() as started:
        yield cache(lambda kind: started.enter_context(WORLDS[kind]()))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the groups of tests count that share a server or a stack, and begin with those that take longest.

    pytest-xdist 3.8 adds a test's group to an attribute that pytest 9.2 reads no more: without a word each group was
    spread over all processes, each of which started its servers.
    """
    if not config.getoption("loadgroup", False):
        return
    for item in items:
        grouped = vars(item).get("_nodeid", "")
        if "@" in grouped:
            item._id = NodeId.parse(grouped)
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    group = item.nodeid.rpartition("@")[2]
    return BEGIN.index(group) if group in BEGIN else len(BEGIN)
