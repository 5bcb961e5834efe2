"""The servers that the tests of this folder share, and an application on one of them."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.contract.worlds import World
from tests.workflow.applications import Application, Case, rotating
from tests.workflow.machine import ROOT


@pytest.fixture
def application(case: Case, start: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """After a secret's first rotation: there is an AWSPREVIOUS, and with alternating users both exist."""
    server = start(case.kind)
    monkeypatch.setenv("PRIVATE_CA", server.ca_pem)
    definition = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
    with rotating(case, server, definition) as application:
        assert application.rotate() == "RotationSucceeded"
        yield application
