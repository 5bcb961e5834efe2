"""Each test begins as an invocation of a function does: with no value to conceal."""

import pytest

from rotation.redaction import forget


@pytest.fixture(autouse=True)
def nothing_concealed() -> None:
    forget()
