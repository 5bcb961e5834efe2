"""Each test begins as an invocation of a function does: with no value to conceal."""

import pytest

from rotation.redaction import forget


@pytest.fixture(autouse=True)
def nothing_concealed() -> None:
    forget()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of yours."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
