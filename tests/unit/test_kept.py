"""What keeps a test server's connections: a fork, as tests/mutants makes them, shares none of its parent's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.kept import Kept


def test_a_fork_opens_a_connection_of_its_own_and_leaves_its_parents_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    is_open: list[bool] = []

    @contextmanager
    def opened() -> Iterator[int]:
        number = len(is_open)
        is_open.append(True)
        yield number
        is_open[number] = False

    def used() -> int:
        with kept.one() as connection:
            return connection

    kept, parent = Kept(opened, start=lambda: 0), os.getpid()
    assert used() == used() == 0

    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert used() == used() == 1
    kept.close()
    assert is_open == [True, False]

    monkeypatch.setattr(os, "getpid", lambda: parent)
    assert used() == 0
    kept.close()
    assert is_open == [False, False]
