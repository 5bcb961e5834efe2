"""What `rotatorctl rotate` says of a rotation that it does not see end well; deployed, test_cli.py."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

from rotation.executions import Execution
from rotatorctl.commands.rotate import Pace, rotated
from rotatorctl.deployed import Described
from rotatorctl.executions import ROTATION, Executions, Name, Run
from rotatorctl.following import RETRIED, STARTED, Begun, Following
from rotatorctl.result import CommandError, Problem, Result
from tests.unit.examined import GOOD, NOW, world

pytestmark = pytest.mark.usefixtures("credentials")

BEGUN = Begun(Described(GOOD), "two", 1, STARTED)


def followed(monkeypatch: pytest.MonkeyPatch, run: Run | None, *secrets: str, stop: bool = False) -> Result:
    """`rotate` of these secrets, of which the first begins an execution that ends so, or none that is seen."""
    following = Following(world().examined.stack, lambda *_: None, threading.Event(), 0)

    def begin(_: Following, secret: str) -> Begun:
        if stop:
            following.stop.set()
        return BEGUN

    monkeypatch.setattr(Following, "begin", begin)
    monkeypatch.setattr(Following, "_begun_execution", lambda *_: run)
    monkeypatch.setattr(Executions, "find", lambda *_: run)
    monkeypatch.setattr(Executions, "entered", lambda *_: [])
    monkeypatch.setattr(Executions, "rollback_of", lambda *_: None)
    return rotated(following, secrets or ("app",), Pace(stop_after=1))


def ended(status: str, error: str) -> Run:
    return Run(Execution("arn", "name", status, {}, error, "by hand"), Name(ROTATION, "two", 1), NOW, NOW)


def only_problem(result: Result) -> Problem:
    [problem] = result.problems
    return problem


@pytest.mark.parametrize(
    ("stop", "outcome", "code"), [(True, "running", "StillRunningError"), (False, "not started", "NotStartedError")]
)
def test_an_execution_that_was_not_seen_before_ctrl_c_is_not_said_to_have_not_begun(
    stop: bool, outcome: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = followed(monkeypatch, None, stop=stop)

    assert (result.data["secrets"][0]["outcome"], only_problem(result).code) == (outcome, code)
    assert ("`rotatorctl rotate app` joins it again" in only_problem(result).next_step) == stop


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("ABORTED", "", "ABORTED"),
        ("ABORTED", "MaintenanceTonight", "ABORTED"),
        ("ABORTED", "RotationFailedError", "ABORTED"),
        ("TIMED_OUT", "States.Timeout", "TIMED_OUT"),
        ("FAILED", "States.Runtime", "States.Runtime"),
    ],
)
def test_the_code_of_an_end_is_no_text_that_somebody_gave_it_and_the_message_has_that(
    status: str, error: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = only_problem(followed(monkeypatch, ended(status, error)))

    assert problem.code == code
    assert f"{error or status}: by hand" in problem.message


@pytest.mark.parametrize(("stop", "next_step"), [(False, "mend that, and to rotate"), (True, "to rotate")])
def test_those_that_were_not_begun_come_with_the_command_that_rotates_them(
    stop: bool, next_step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = followed(monkeypatch, ended("ABORTED", ""), "app", "two", "three", stop=stop)

    assert result.problems[-1].code == "NotAllRotatedError"
    assert result.problems[-1].next_step == f"{next_step} them: rotatorctl rotate two three"


OURS, ANOTHER, NONE = "ours", "another", ""


def begun(monkeypatch: pytest.MonkeyPatch, shown: str, error: str = "") -> tuple[Begun, list[str]]:
    """What RotateSecret's request comes to that gets this error, or no answer; AWSPENDING is `shown` on a version then.

    And what is told meanwhile.
    """
    stack, asked, told = world().examined.stack, list[str](), list[str]()

    def sent(params: dict[str, str], **_: Any) -> None:
        asked.append(params["ClientRequestToken"])
        if not error:
            raise ReadTimeoutError(endpoint_url="https://secretsmanager.example")

    def read(*_: object) -> Described:
        pending = {asked[-1] if shown == OURS else shown: ["AWSPENDING"]} if asked and shown else {}
        return Described(GOOD | {"VersionIdsToStages": {"one": ["AWSCURRENT"], **pending}})

    stack.aws.secrets.meta.events.register_first("provide-client-params.secrets-manager.RotateSecret", sent)
    monkeypatch.setattr(Described, "read", read)
    with Stubber(stack.aws.secrets) as answers:
        answers.add_client_error("rotate_secret", error)
        made = Following(stack, lambda _, state: told.append(state), threading.Event(), 0).begin("app")
    assert (made.version == asked[0]) == (shown == OURS)
    return made, told


@pytest.mark.parametrize(("shown", "how"), [(OURS, STARTED), (ANOTHER, RETRIED)])
def test_a_rotation_that_began_although_no_answer_came_is_followed(
    shown: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, told = begun(monkeypatch, shown)

    assert made.how == how
    assert told == ["no answer came to RotateSecret: DescribeSecret shows that it was carried out"]


def test_a_rotation_that_did_not_begin_is_not_said_to_run_where_no_answer_came(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError) as refused:
        begun(monkeypatch, NONE)

    assert refused.value.problem.code == "UnavailableError"
    assert "DescribeSecret shows that no rotation began" in refused.value.problem.message


@pytest.mark.parametrize(("shown", "how"), [(OURS, STARTED), (ANOTHER, RETRIED)])
def test_a_refusal_of_a_repeated_request_is_no_retry_if_the_first_one_began_it(
    shown: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert begun(monkeypatch, shown, "InvalidRequestException")[0].how == how
