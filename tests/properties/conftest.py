"""The same examples on every machine and in every run; servers and machine started once, for all of them."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings

from rotatorctl.local.secrets_manager import Silences
from tests.contract.worlds import WORLDS, World
from tests.workflow.machine import ROOT, Machine, running

# What is shared between the examples of one test here is meant to be: each example takes a user or a secret of its own.
settings.register_profile(
    "properties", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=False
)
settings.load_profile("properties")


@contextmanager
def trusting(world: World) -> Iterator[World]:
    with patch.dict(os.environ, {"PRIVATE_CA": world.ca_pem}):
        yield world


@pytest.fixture(scope="module")
def postgres() -> Iterator[World]:
    with WORLDS["postgres"]() as world, trusting(world):
        yield world


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    definition = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
    definition["States"]["AwaitLateStatement"]["Seconds"] = 0
    with running(Silences(), definition) as machine:
        yield machine


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in WORLDS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def world(kind: str) -> Iterator[World]:
    with ExitStack() as started:
        yield started.enter_context(trusting(started.enter_context(WORLDS[kind]())))
