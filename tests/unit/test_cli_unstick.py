"""When `rotatorctl unstick` does not look, and when it moves no label although it has; deployed, test_cli.py."""

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from rotation.executions import Execution
from rotatorctl import cli, command
from rotatorctl.commands.unstick import unstick
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import LOG_IN_TEST, ROLLBACK, ROTATION, Executions, Name, Run
from rotatorctl.following import Following
from rotatorctl.proof import Proof
from rotatorctl.result import CommandError, Json
from rotatorctl.stuck import Stuck, moved_on, stuck
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
    ("now", "run", "others"),
    [
        (PENDING, None, False),
        (PENDING, ended("RUNNING"), True),
        ({"VersionIdsToStages": {"one": ["AWSCURRENT"]}}, None, True),
        ({"VersionIdsToStages": {"one": ["AWSPREVIOUS"], "two": ["AWSCURRENT"]}}, None, True),
        ({"VersionIdsToStages": {"three": ["AWSCURRENT"], "two": ["AWSPENDING"]}}, None, True),
    ],
)
def test_a_proof_counts_only_for_the_labels_and_the_attempt_that_were_shown(
    now: dict[str, Any], run: Run | None, others: bool, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    described(monkeypatch, now)
    last_is(monkeypatch, run)

    assert moved_on(stack, Stuck(Described(GOOD | PENDING), "two", None)) == others


class Machine:
    """What each mode's execution comes to; Ctrl-C comes while, or just after, the one in mode `stops` is watched."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch, **ends: Run) -> None:
        self.ends, self.asked, self.stop = ends, list[str](), threading.Event()
        self.following = Following(stack, lambda *_: None, self.stop, patience=0)
        self.stops = ""
        monkeypatch.setattr(Proof, "_run", lambda proof, _, body: self._run(proof, body))
        monkeypatch.setattr(Proof, "_has_value", lambda _: True)
        monkeypatch.setattr(Executions, "find", lambda *_: None)

    def _run(self, proof: Proof, body: Json) -> Run | None:
        if proof.stopped:
            return None
        self.asked.append(body["Mode"])
        if body["Mode"] == self.stops:
            self.stop.set()
        proof.run = self.ends[body["Mode"]]
        return proof.run


def run(kind: str, status: str, error: str = "", attempt: int = 2, **report: Any) -> Run:
    cause = json.dumps({"Step": "SetSecret", "Error": "no", "Reason": "no"} | report) if report else ""
    return Run(Execution("arn", "name", status, {}, error, cause), Name(kind, "two", attempt), NOW, NOW)


REFUSED = run(LOG_IN_TEST, "FAILED", "LoginRefusedError")
LOOKED = run(ROLLBACK, "FAILED", "RotationFailedError", Outcome="untouched", Working="AWSCURRENT")
FOUND = Stuck(Described(GOOD | PENDING), "two", ended("FAILED", Outcome="rolled back", RolledBack=1, Previous={}))


def kinds(monkeypatch: pytest.MonkeyPatch, *strategies: str) -> None:
    """What the executions that are asked say of the strategy, one after the other."""
    said = iter(strategies)
    monkeypatch.setattr(Executions, "kind", lambda *_: ("postgres", next(said)))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    previous = {"Told": True, "Key": "x", "ToldAt": "", "RolledBack": 1, "Begun": True, "Alert": {}}
    monkeypatch.setattr("rotatorctl.proof.previous_of", lambda *_: previous)


@pytest.mark.parametrize(
    ("strategies", "rotated", "modes"),
    [
        # The attempt proved something.
        (["single user"], run(ROTATION, "SUCCEEDED"), ["Test", "Rotate"]),
        # It found that nothing works; a look would try the same log-ins once more.
        (
            ["single user", "single user"],
            run(ROTATION, "FAILED", "RollbackFailedError", Outcome="needs a person", Working="none"),
            ["Test", "Rotate"],
        ),
        # It was not known that two alternate, and the attempt did not try the other one.
        (
            ["unknown", "alternating users"],
            run(ROTATION, "FAILED", "RollbackFailedError", Outcome="needs a person", Working="none"),
            ["Test", "Rotate", "RollBack"],
        ),
        (["alternating users"], None, ["RollBack"]),
    ],
)
@pytest.mark.usefixtures("told")
def test_only_of_a_single_user_who_is_refused_the_rotation_is_tried_again(
    strategies: list[str], rotated: Run, modes: list[str], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(stack, monkeypatch, Test=REFUSED, Rotate=rotated, RollBack=LOOKED)
    kinds(monkeypatch, *strategies)

    Proof(FOUND, machine.following).look()

    assert machine.asked == modes


@pytest.mark.usefixtures("told")
def test_a_user_who_is_let_in_and_a_version_without_an_attempt_are_only_looked_at(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(stack, monkeypatch, Test=run(LOG_IN_TEST, "SUCCEEDED"), RollBack=LOOKED)
    kinds(monkeypatch, "single user")

    Proof(FOUND, machine.following).look()
    Proof(replace(FOUND, last=None), machine.following).look()

    assert machine.asked == ["Test", "RollBack", "RollBack"]


@pytest.mark.parametrize(
    ("ends", "code", "says"),
    [
        ({"Test": run(LOG_IN_TEST, "RUNNING")}, "StillRunningError", "tries AWSCURRENT goes on by itself"),
        ({"Test": REFUSED}, "StoppedError", "nothing that it began still runs, and no label was moved"),
        (
            {"Test": REFUSED, "Rotate": run(ROTATION, "RUNNING")},
            "StillRunningError",
            "finishes the rotation goes on by itself",
        ),
        (
            {"Test": run(LOG_IN_TEST, "SUCCEEDED"), "RollBack": run(ROLLBACK, "RUNNING")},
            "StillRunningError",
            "looks goes on by itself, and sets AWSCURRENT",
        ),
        ({"Test": run(LOG_IN_TEST, "SUCCEEDED"), "RollBack": LOOKED}, "StoppedError", "no label was moved"),
    ],
)
@pytest.mark.usefixtures("told")
def test_ctrl_c_begins_nothing_more_and_says_what_still_runs(
    ends: dict[str, Run], code: str, says: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(stack, monkeypatch, **ends)
    machine.stops = list(ends)[-1]
    kinds(monkeypatch, "single user")

    made = unstick(FOUND, machine.following)

    assert (made.exit_code, [problem.code for problem in made.problems]) == (1, [code])
    assert says in made.problems[0].message
    assert machine.asked == list(ends)


@pytest.mark.parametrize(("works", "section"), [("none", "action"), ("unknown", "check")])
@pytest.mark.usefixtures("told")
def test_where_nothing_is_proven_the_section_that_says_what_to_do_is_named(
    works: str, section: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = run(ROLLBACK, "FAILED", "RollbackFailedError", Outcome="needs a person", Working=works)
    machine = Machine(stack, monkeypatch, RollBack=looked)

    made = unstick(replace(FOUND, last=None), machine.following)

    assert (made.data["outcome"], made.problems[0].code) == ("not proven", "NotProvenError")
    assert made.problems[0].next_step == (
        f"docs/failures.md#needs-a-person-{section} says what to do; "
        f"look at the execution: {stack.execution_shown('arn')}"
    )


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_before_the_question_and_at_it_says_that_nothing_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_find", lambda *_: None)
    for name in ("stuck", "click.confirm"):
        monkeypatch.setattr(cli, "stuck", lambda *_: FOUND)
        monkeypatch.setattr(f"rotatorctl.cli.{name}", interrupted)

        told = CliRunner().invoke(cli.cli, ["unstick", "app"])

        assert told.exit_code == 1
        assert "nothing was changed" in told.output
