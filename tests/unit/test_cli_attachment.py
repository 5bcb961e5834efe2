"""What `rotatorctl onboard` undoes where AWS refuses, or its answer is lost; deployed, test_cli_onboarding.py."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

from rotatorctl.attachment import FORMER_FUNCTION, Attachment, Change
from rotatorctl.aws import AWS_ERRORS
from rotatorctl.deployed import Described
from rotatorctl.executions import Executions
from rotatorctl.following import Following
from rotatorctl.result import CommandError
from tests.unit.examined import ARN, FUNCTION, GOOD, world

pytestmark = pytest.mark.usefixtures("credentials")

RULES: Any = {"ScheduleExpression": "rate(30 days)"}
TEAM = {"team": "orders"}
NEW: dict[str, Any] = {"RotationEnabled": None, "RotationLambdaARN": None, "RotationRules": None}
FORMER = FUNCTION.replace("secret-rotation-rotate", "former")
OURS: dict[str, Any] = {"RotationEnabled": True, "RotationLambdaARN": FUNCTION, "RotationRules": RULES}


class Trial:
    """An attachment to a Secrets Manager that gives these answers, in this order."""

    def __init__(self, tags: dict[str, str] = TEAM, **changes: Any) -> None:
        stack = world().examined.stack
        self.secret = Described({key: each for key, each in (GOOD | changes).items() if each is not None})
        self.attachment = Attachment(
            Following(stack, lambda _, told: self.said.append(told), threading.Event(), 0),
            Change(self.secret, tags, RULES),
        )
        self.said = list[str]()
        self.client = stack.aws.secrets
        self.answers = Stubber(self.client)

    def answer(self, operation: str, answer: dict[str, Any] | None = None, **request: Any) -> None:
        self.answers.add_response(operation, answer or {}, {"SecretId": ARN, **request})

    def carrying(self, *labels: str, **shown: Any) -> None:
        """DescribeSecret shows these labels on the version of the log-in test."""
        stages = {self.attachment.token: list(labels)}
        self.answer("describe_secret", {"ARN": ARN, **shown} | ({"VersionIdsToStages": stages} if labels else {}))

    def attach(self) -> None:
        self.answers.activate()
        self.attachment.attach()

    def attach_and_fail(self) -> None:
        with pytest.raises(AWS_ERRORS):
            self.attach()

    def turns_on(self) -> dict[str, Any]:
        return {
            "ClientRequestToken": self.attachment.token,
            "RotationLambdaARN": FUNCTION,
            "RotationRules": RULES,
            "RotateImmediately": False,
        }


TAGGED: dict[str, Any] = {"Tags": [{"Key": "team", "Value": "orders"}]}


@pytest.fixture
def trials() -> Iterator[list[Trial]]:
    made = list[Trial]()
    yield made
    for trial in made:
        trial.answers.assert_no_pending_responses()


def test_a_refused_request_has_turned_nothing_on_so_only_the_tags_are_put_back(trials: list[Trial]) -> None:
    trial = Trial(**NEW)
    trials.append(trial)
    trial.answer("tag_resource", **TAGGED)
    trial.answers.add_client_error("rotate_secret", "AccessDeniedException")
    trial.carrying()
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach_and_fail()

    assert (trial.attachment.put_back(), trial.attachment.left()) == ([], [])


@pytest.mark.parametrize("shown", [OURS, {}])
def test_a_refused_repeat_of_a_request_that_was_carried_out_is_undone(
    shown: dict[str, Any], trials: list[Trial]
) -> None:
    trial = Trial(**NEW)
    trials.append(trial)
    trial.answer("tag_resource", **TAGGED)
    trial.answers.add_client_error("rotate_secret", "InternalServiceError", http_status_code=500)
    trial.carrying(*([] if shown else ["AWSPENDING"]), **shown)
    trial.answer("cancel_rotate_secret")
    trial.carrying()
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach_and_fail()

    assert trial.attachment.put_back() == []
    assert "names this stack's function" in trial.attachment.left()[0]


def test_if_it_cannot_be_read_whether_a_refused_request_was_carried_out_that_is_said(trials: list[Trial]) -> None:
    trial = Trial(**NEW)
    trials.append(trial)
    trial.answer("tag_resource", **TAGGED)
    trial.answers.add_client_error("rotate_secret", "InternalServiceError", http_status_code=500)
    trial.answers.add_client_error("describe_secret", "AccessDeniedException", "not allowed")
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach_and_fail()

    assert trial.attachment.put_back() == ["DescribeSecret: AccessDeniedException: not allowed"]


def test_a_function_that_was_turned_off_is_remembered_since_setting_it_again_would_let_it_run(
    trials: list[Trial],
) -> None:
    trial = Trial(TEAM | {FORMER_FUNCTION: FORMER}, RotationEnabled=None, RotationLambdaARN=FORMER)
    trials.append(trial)
    trial.answer("tag_resource", Tags=[*TAGGED["Tags"], {"Key": FORMER_FUNCTION, "Value": FORMER}])
    trial.answer("rotate_secret", **trial.turns_on())
    trial.answer("cancel_rotate_secret")
    trial.carrying()
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach()

    assert trial.attachment.put_back() == []
    function, tag, schedule = trial.attachment.left()
    assert "the secret names this stack's function, so the stack may read it" in function
    assert "`rotatorctl offboard app --restore` turns rotation by that one on" in tag
    assert "its schedule, rate(30 days)," in schedule


def unanswered(trial: Trial) -> None:
    def lost(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://secretsmanager.example")

    trial.client.meta.events.register_first("provide-client-params.secrets-manager.RotateSecret", lost)
    trial.answer("tag_resource", **TAGGED)


@pytest.mark.parametrize("shown", [OURS, {}], ids=["rotation is on", "the test has begun"])
def test_a_request_without_an_answer_is_gone_on_with_where_it_is_seen_to_be_carried_out(
    shown: dict[str, Any], trials: list[Trial]
) -> None:
    trial = Trial(**NEW)
    trials.append(trial)
    unanswered(trial)
    trial.carrying(*([] if shown else ["AWSPENDING"]), **shown)
    trial.answer("cancel_rotate_secret")
    trial.carrying()
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach()

    assert trial.said == ["no answer came to RotateSecret: DescribeSecret shows that it was carried out"]
    assert trial.attachment.put_back() == []


def test_a_request_without_an_answer_of_which_nothing_came_leaves_only_the_tags_to_be_put_back(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(**NEW, Tags=[{"Key": "team", "Value": "before"}])
    trials.append(trial)
    monkeypatch.setattr(Executions, "find", lambda *_: None)
    unanswered(trial)
    trial.carrying()
    trial.answer("tag_resource", Tags=[{"Key": "team", "Value": "before"}])

    with pytest.raises(CommandError) as told:
        trial.attach()

    assert told.value.problem.code == "UnavailableError"
    assert "DescribeSecret shows that rotation is as it was, and no log-in test began" in told.value.problem.message
    assert (trial.attachment.put_back(), trial.attachment.left()) == ([], [])


def test_a_request_without_an_answer_may_have_been_done_if_that_cannot_be_read_so_it_is_undone(
    trials: list[Trial],
) -> None:
    trial = Trial(**NEW)
    trials.append(trial)
    unanswered(trial)
    trial.answers.add_client_error("describe_secret", "AccessDeniedException", "not allowed")
    trial.answer("cancel_rotate_secret")
    trial.carrying()
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach_and_fail()

    assert trial.attachment.put_back() == []


def test_the_label_that_the_cancelled_test_left_is_taken_off_and_the_former_function_put_back(
    trials: list[Trial],
) -> None:
    trial = Trial(RotationLambdaARN=FORMER)
    trials.append(trial)
    trial.answer("tag_resource", **TAGGED)
    trial.answer("rotate_secret", **trial.turns_on())
    trial.answer("cancel_rotate_secret")
    trial.carrying("AWSPENDING")
    trial.answer("update_secret_version_stage", VersionStage="AWSPENDING", RemoveFromVersionId=trial.attachment.token)
    trial.answer(
        "rotate_secret",
        RotationLambdaARN=FORMER,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach()

    assert (trial.attachment.put_back(), trial.attachment.left()) == ([], [])


def test_what_cannot_be_undone_is_said_and_the_rest_is_undone_all_the_same(trials: list[Trial]) -> None:
    trial = Trial(**NEW)
    trials.append(trial)
    trial.answer("tag_resource", **TAGGED)
    trial.answer("rotate_secret", **trial.turns_on())
    trial.answers.add_client_error("cancel_rotate_secret", "AccessDeniedException", "not allowed")
    trial.carrying()
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach()

    assert trial.attachment.put_back() == ["CancelRotateSecret: AccessDeniedException: not allowed"]


def test_of_a_secret_that_only_gets_a_tag_the_rotation_is_not_undone(trials: list[Trial]) -> None:
    trial = Trial(RotationRules=RULES)
    trials.append(trial)
    trial.answer("tag_resource", **TAGGED)
    trial.answer("rotate_secret", **trial.turns_on())
    trial.answer("untag_resource", TagKeys=["team"])

    trial.attach()

    assert trial.attachment.put_back() == []
