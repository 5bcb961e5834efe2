"""Stages that several tests share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.faults.trial import Stage


@pytest.fixture(scope="session")
def stage_of() -> Iterator[Callable[[str], Stage]]:
    """Gives the one stage with a server of a kind. To set one up takes as long as some trials."""
    with ExitStack() as set_up:
        yield cache(lambda kind: set_up.enter_context(Stage.set_up(kind)))
