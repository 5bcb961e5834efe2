"""When `rotatorctl unstick` does not look, and when it moves no label although it has; deployed, test_cli.py."""

from typing import Any

import pytest

from rotatorctl.commands import unstick
from rotatorctl.commands.unstick import Stuck, stuck
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import Executions, Run
from rotatorctl.following import Following
from rotatorctl.result import CommandError
from tests.unit.examined import ARN, GOOD, NOW, world
from tests.unit.test_cli_doctor import ended

PENDING = {"VersionIdsToStages": {"one": ["AWSCURRENT"], "two": ["AWSPENDING"]}}


@pytest.fixture
def stack() -> Stack:
    return world().examined.stack


def described(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    answer = {key: value for key, value in (GOOD | changes).items() if value is not None}
    monkeypatch.setattr(Described, "read", lambda aws, secret_id: Described(answer))


def last_is(monkeypatch: pytest.MonkeyPatch, run: Run | None) -> None:
    monkeypatch.setattr(Executions, "latest", lambda *_: run)


def test_nothing_is_stuck_without_a_pending_version_of_its_own(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    described(monkeypatch, {"VersionIdsToStages": {"one": ["AWSCURRENT", "AWSPENDING"]}})

    assert stuck(stack, ARN) is None


@pytest.mark.parametrize(
    ("changes", "run", "code"),
    [
        (PENDING, ended("RUNNING"), "RotationRunsError"),
        (PENDING | {"DeletedDate": NOW}, None, "NotUnderRotationError"),
        (PENDING | {"RotationLambdaARN": None}, None, "NotUnderRotationError"),
    ],
)
def test_a_rotation_that_runs_and_a_secret_of_somebody_else_are_left_alone(
    changes: dict[str, Any], run: Run | None, code: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    described(monkeypatch, changes)
    last_is(monkeypatch, run)

    with pytest.raises(CommandError) as refused:
        stuck(stack, ARN)

    assert refused.value.problem.code == code


@pytest.mark.parametrize(
    ("now", "run", "moved_on"),
    [
        (PENDING, None, False),
        (PENDING, ended("RUNNING"), True),
        ({"VersionIdsToStages": {"one": ["AWSCURRENT"]}}, None, True),
        ({"VersionIdsToStages": {"one": ["AWSPREVIOUS"], "two": ["AWSCURRENT"]}}, None, True),
        ({"VersionIdsToStages": {"three": ["AWSCURRENT"], "two": ["AWSPENDING"]}}, None, True),
    ],
)
def test_a_proof_counts_only_for_the_labels_and_the_attempt_that_were_shown(
    now: dict[str, Any], run: Run | None, moved_on: bool, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    described(monkeypatch, now)
    last_is(monkeypatch, run)

    assert unstick._moved_on(stack, Stuck(Described(GOOD | PENDING), "two", None)) == moved_on


def test_ctrl_c_while_it_looks_moves_no_label(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(unstick, "_look", lambda *_: ended("RUNNING"))
    monkeypatch.setattr(Following, "watched", interrupted)

    made = unstick.unstick(stack, Stuck(Described(GOOD | PENDING), "two", None), lambda *_: None)

    assert (made.exit_code, [problem.code for problem in made.problems]) == (1, ["StillRunningError"])
    assert made.data["outcome"] == "running"
