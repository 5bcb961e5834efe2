"""What is said of a local stack that is up, where a command found no AWS that it can ask."""

import os
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

from rotatorctl.result import Problem

_WITHOUT_AWS = ("CredentialsError", "RegionError", "StackNotFoundError", "UnavailableError")
_HINT = '; or, for the local stack, which is up, set its variables in this shell: eval "$(rotatorctl local up)"'


def or_local(problem: Problem) -> Problem:
    """The problem; its next step names the local stack, too, if that would help and this process was not led to it."""
    if problem.code not in _WITHOUT_AWS or _endpoint() in ("", os.environ.get("AWS_ENDPOINT_URL")):
        return problem
    return replace(problem, next_step=problem.next_step + _HINT)


def _endpoint() -> str:
    """Where the local stack plays AWS; empty if none is up."""
    # An installed rotatorctl has no local stack; and whatever is wrong with it, the problem is another one.
    with suppress(Exception):
        running: Any = import_module("rotatorctl.local.running").Running.read()
        if running and running.is_up:
            return str(running.endpoints["aws"])
    return ""
