"""The same examples on every machine and in every run, and servers that are started once for all of them."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from rotation import engines
from rotation.engines.base import Engine
from rotatorctl.local.secrets_manager import Silences
from rotatorctl.local.servers import HOST
from tests.contract.worlds import WORLDS, World
from tests.workflow.conftest import definition
from tests.workflow.machine import Machine, running

__all__ = ["definition"]

# The examples of one test share a server or a machine, and each takes a user or a secret of its own there.
_MEANT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("properties", derandomize=True, deadline=None, suppress_health_check=_MEANT)
settings.load_profile("properties")


@pytest.fixture(scope="session", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in WORLDS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(kind: str, start: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> World:
    """A running server of this kind, trusted."""
    found = start(kind)
    monkeypatch.setenv("PRIVATE_CA", found.ca_pem)
    return found


@pytest.fixture
def engine(kind: str) -> Engine:
    return engines.load(engines.ENGINES[kind])


@pytest.fixture
def machine(definition: dict[str, Any]) -> Iterator[Machine]:
    with running(Silences(), definition) as machine:
        yield machine


@pytest.fixture
def no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the loopback address is reached. Any other host is looked up as far as that needs no network."""
    look_up = socket.getaddrinfo

    def numeric(host: Any, *how: Any, **named: Any) -> Any:
        if host not in (HOST, HOST.encode()):
            look_up(host, None, flags=socket.AI_NUMERICHOST)
            raise ConnectionRefusedError(f"nothing is to be reached at {host}")
        return look_up(host, *how, **named)

    monkeypatch.setattr(socket, "getaddrinfo", numeric)
