"""Each test begins as an invocation of a function does: with no value to conceal."""

import signal
from collections.abc import Iterator

import pytest

from rotation.redaction import forget


@pytest.fixture(autouse=True)
def nothing_concealed() -> None:
    forget()


@pytest.fixture(autouse=True)
def ctrl_c_stops_the_tests() -> Iterator[None]:
    """A command ends its process, and leaves Ctrl-C as it is then."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of yours."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
