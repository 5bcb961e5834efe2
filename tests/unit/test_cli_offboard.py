"""What `rotatorctl offboard` tells where AWS refuses, or an answer is lost; deployed, test_cli_onboarding.py."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber
from click.testing import CliRunner

from rotatorctl import cli, cli_onboarding, command
from rotatorctl.attachment import FORMER_FUNCTION
from rotatorctl.commands.offboard import Leaving, leaving, offboard
from rotatorctl.deployed import Described, Stack
from rotatorctl.result import CommandError, Result
from tests.unit.examined import ARN, FUNCTION, GOOD, world

pytestmark = pytest.mark.usefixtures("credentials")

FORMER = FUNCTION.replace("secret-rotation-rotate", "former")
TAGGED: dict[str, Any] = {"Tags": [{"Key": FORMER_FUNCTION, "Value": FORMER}]}
OURS = GOOD | TAGGED | {"VersionIdsToStages": {}}
GIVEN_BACK = OURS | {"RotationLambdaARN": f"{FORMER}:$LATEST"}
TURNED_OFF = OURS | {"RotationEnabled": False}


@dataclass
class Trial:
    """A stack whose Secrets Manager gives these answers, in this order."""

    stack: Stack
    answers: Stubber

    def leaving(self, former: str = FORMER) -> Leaving:
        return Leaving(self.stack, Described(OURS if former else GOOD), former)

    def shows(self, secret: dict[str, Any]) -> None:
        self.answers.add_response("describe_secret", secret)

    def untagged(self) -> None:
        self.answers.add_response("untag_resource", {}, {"SecretId": ARN, "TagKeys": [FORMER_FUNCTION]})

    def lost(self, operation: str) -> None:
        def lose(**_: Any) -> None:
            raise ReadTimeoutError(endpoint_url="https://secretsmanager.example")

        self.stack.aws.secrets.meta.events.register_first(f"provide-client-params.secrets-manager.{operation}", lose)


@pytest.fixture
def trial() -> Iterator[Trial]:
    stack = world().examined.stack
    with Stubber(stack.aws.secrets) as answers:
        yield Trial(stack, answers)
        answers.assert_no_pending_responses()


def test_a_tag_that_may_not_be_taken_away_is_told_with_what_was_done(trial: Trial) -> None:
    trial.answers.add_response("rotate_secret", {})
    trial.answers.add_client_error("untag_resource", "AccessDeniedException", "not allowed")
    trial.shows(GIVEN_BACK)

    result = offboard(trial.leaving())

    [problem] = result.problems
    assert (result.exit_code, result.data["outcome"], problem.code) == (1, "restored", "AccessDeniedError")
    assert problem.message.startswith(f"{FORMER} rotates it again, but to take its tag {FORMER_FUNCTION} away failed: ")
    assert problem.next_step.endswith("; `rotatorctl offboard app --restore` takes the tag away")
    assert f"its tags {FORMER_FUNCTION}" in result.data["left"]


def test_a_repeat_takes_the_tag_away_that_was_left(trial: Trial) -> None:
    trial.shows(GIVEN_BACK)
    trial.untagged()

    found = leaving(trial.stack, "app", restore=True)
    result = offboard(found)

    assert found.changes_something
    assert found.plan == f"app: {FORMER} rotates it again already; its tag {FORMER_FUNCTION} is taken away."
    assert (result.exit_code, result.data["outcome"], result.data["function"]) == (0, "restored", FORMER)
    assert FORMER_FUNCTION not in " ".join(result.data["left"])


@pytest.mark.parametrize(
    ("restore", "changes"),
    [(False, {}), (True, {"RotationEnabled": False}), (True, {"Tags": []}), (True, {"RotationLambdaARN": "another"})],
)
def test_a_secret_that_was_not_given_back_to_the_function_in_its_tag_is_somebody_elses(
    restore: bool, changes: dict[str, Any], trial: Trial
) -> None:
    trial.shows(GIVEN_BACK | changes)

    with pytest.raises(CommandError) as refused:
        leaving(trial.stack, "app", restore)

    assert refused.value.problem.code == "NotUnderRotationError"


@pytest.mark.parametrize(
    ("former", "operation", "shown", "outcome"),
    [(FORMER, "RotateSecret", GIVEN_BACK, "restored"), ("", "CancelRotateSecret", TURNED_OFF, "detached")],
)
def test_a_request_without_an_answer_is_gone_on_with_where_it_is_seen_to_be_carried_out(
    former: str, operation: str, shown: dict[str, Any], outcome: str, trial: Trial
) -> None:
    trial.lost(operation)
    trial.shows(shown)
    if former:
        trial.untagged()

    result = offboard(trial.leaving(former))

    assert (result.data["outcome"], result.problems) == (outcome, ())


def test_a_refused_repeat_of_a_request_that_was_carried_out_is_gone_on_with(trial: Trial) -> None:
    trial.answers.add_client_error("rotate_secret", "InternalServiceError", http_status_code=500)
    trial.shows(GIVEN_BACK)
    trial.untagged()

    assert offboard(trial.leaving()).data["outcome"] == "restored"


@pytest.mark.parametrize(("former", "operation"), [(FORMER, "RotateSecret"), ("", "CancelRotateSecret")])
def test_a_request_without_an_answer_of_which_nothing_came_is_told_as_that(
    former: str, operation: str, trial: Trial
) -> None:
    trial.lost(operation)
    trial.shows(OURS)

    with pytest.raises(CommandError) as told:
        offboard(trial.leaving(former))

    assert told.value.problem.code == "UnavailableError"
    assert told.value.problem.message.startswith(f"no answer came to {operation} (")
    assert told.value.problem.message.endswith("DescribeSecret shows that nothing came of it")


def test_a_refused_request_has_changed_nothing_and_is_told_as_aws_told_it(trial: Trial) -> None:
    trial.answers.add_client_error("rotate_secret", "AccessDeniedException")
    trial.shows(OURS)

    with pytest.raises(ClientError):
        offboard(trial.leaving())


def test_if_it_cannot_be_read_whether_a_request_was_carried_out_that_is_said(trial: Trial) -> None:
    trial.lost("CancelRotateSecret")
    trial.answers.add_client_error("describe_secret", "AccessDeniedException")

    with pytest.raises(CommandError) as told:
        offboard(trial.leaving(former=""))

    assert told.value.problem.message.endswith("whether CancelRotateSecret was carried out could not be read")
    assert "`rotatorctl doctor app` says what rotates it" in told.value.problem.next_step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_asked_to_end_meanwhile_is_done_to_its_end_and_told(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Leaving) -> Result:
        signal.raise_signal(number)
        return Result("offboard", {"outcome": "detached"})

    # Else SIGTERM would end the tests.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    monkeypatch.setattr(command, "_find", lambda *_: None)
    monkeypatch.setattr(cli_onboarding, "leaving", lambda *_: SimpleNamespace(plan="", changes_something=True))
    monkeypatch.setattr(cli_onboarding, "offboard_secret", interrupted)

    ran = CliRunner().invoke(cli.cli, ["offboard", "app", "--yes", "--output", "json"])

    signal.signal(signal.SIGTERM, before)
    assert (ran.exit_code, json.loads(ran.stdout)["data"]) == (0, {"outcome": "detached"})
