"""What a function loads when it starts, told without a clock: the measurement is `python -m tests.bench.start_up`."""

import json
import sys
from functools import cache

import pytest

from tests.bench.start_up import FLOOR, in_a_new_process
from tests.contract.imports import ENGINES, HANDLERS, third_party

# Of the standard library: each takes as long as a good part of our own code, and none is of use to us.
HEAVY = {"asyncio", "unittest", "multiprocessing", "sqlite3", "doctest", "pdb", "curses", "tkinter"}
STANDARD_LIBRARY = set(sys.stdlib_module_names)
DRIVERS = {driver for engine in ENGINES for driver in third_party(engine)}


@cache
def loaded(code: str) -> set[str]:
    return set(json.loads(in_a_new_process(f"{code}; import json, sys; print(json.dumps(list(sys.modules)))")))


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("handler", HANDLERS)
def test_no_driver_is_loaded_before_an_engine_is_chosen(handler: str) -> None:
    assert DRIVERS
    assert packages(loaded(f"import {handler}")) & DRIVERS == set()


@pytest.mark.parametrize("handler", HANDLERS)
def test_beside_boto3_a_handler_loads_our_code_and_powertools(handler: str) -> None:
    """A package more is a decision: every cold start pays for it."""
    further = packages(loaded(f"{FLOOR}; import {handler}") - loaded(FLOOR))

    assert further - STANDARD_LIBRARY - {"rotation", handler} == {"aws_lambda_powertools", "typing_extensions"}
    assert further & HEAVY == set()


# What of our own each function needs: a module more is a decision, too.
EVERY = {"aws", "errors", "metrics", "model", "outcome", "redaction", "runtime", "secret_store", "throttling"}
STATE = EVERY | {"labels", "step_handler"}
STRATEGIES = {"strategies", "strategies.alternating_users", "strategies.base", "strategies.single_user"}
VALUES = (
    STATE | {"engines", "engines.base", "passwords", "rotation", "secret", "secret_fields", "settings"} | STRATEGIES
)
CHANGE = VALUES | {"admin_secret", "change", "rds"}
OURS = {
    "rotate": EVERY | {"alert", "attempts", "call", "executions", "invocation", "report", "waiting"},
    "create_secret": VALUES | {"steps"},
    "set_secret": CHANGE | {"steps"},
    "test_secret": VALUES | {"readiness", "steps", "tls"},
    "finish_secret": STATE | {"alert", "promotion", "report"},
    "roll_back": CHANGE | {"alert", "giving_up", "log_ins", "readiness", "report", "rollback", "tls"},
    "find_overdue": EVERY | {"alert", "overdue", "standing", "topic"},
}


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_function_loads_of_ours_what_it_needs_and_no_more(handler: str) -> None:
    ours = {module for module in loaded(f"import {handler}") if module.startswith("rotation.")}

    assert {module.removeprefix("rotation.") for module in ours} == OURS[handler]
