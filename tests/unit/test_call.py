"""One call of Secrets Manager."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from rotation.call import Call
from rotation.errors import InvalidEventError
from rotation.invocation import answer

EVENTS = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parents[2] / "events/secrets_manager").glob("*.json"))
}
STEPS = {
    "create_secret": "createSecret",
    "set_secret": "setSecret",
    "test_secret": "testSecret",
    "finish_secret": "finishSecret",
}
EVENT = EVENTS["create_secret"]


@pytest.mark.parametrize("name", STEPS)
def test_each_of_the_four_events_is_a_call(name: str) -> None:
    event = EVENTS[name]

    call = Call.of(event)

    expected = (STEPS[name], event["SecretId"], event["ClientRequestToken"], event["RotationToken"])
    assert (call.step, call.secret_id, call.token, call.rotation_token) == expected


@pytest.mark.parametrize("name", STEPS)
def test_the_spelling_of_awss_own_page_is_taken_too(name: str) -> None:
    assert Call.of(EVENT | {"Step": name}).step == STEPS[name]


@pytest.mark.parametrize("value", [None, "", 7, ["createSecret"], {}])
@pytest.mark.parametrize("key", ["Step", "SecretId", "ClientRequestToken"])
def test_a_key_without_a_text_is_named(key: str, value: Any) -> None:
    with pytest.raises(InvalidEventError, match=f"^the event has no {key};"):
        Call.of(EVENT | {key: value})


@pytest.mark.parametrize("key", ["Step", "SecretId", "ClientRequestToken"])
def test_a_key_that_is_missing_is_named(key: str) -> None:
    with pytest.raises(InvalidEventError, match=f"^the event has no {key};"):
        Call.of({name: value for name, value in EVENT.items() if name != key})


@pytest.mark.parametrize(
    "step", ["deleteSecret", "CreateSecret", "createsecret", "create-secret", "createSecret_", "create__secret", " "]
)
def test_an_unknown_step_is_named_with_those_that_exist(step: str) -> None:
    with pytest.raises(InvalidEventError) as error:
        Call.of(EVENT | {"Step": step})

    assert str(error.value) == (
        f"unknown Step {step!r}; expected one of createSecret, setSecret, testSecret, finishSecret"
    )


def test_a_call_without_a_rotation_token_is_taken() -> None:
    assert Call.of({key: value for key, value in EVENT.items() if key != "RotationToken"}).rotation_token == ""
    assert Call.of(EVENT | {"RotationToken": None}).rotation_token == ""


def test_a_call_never_shows_its_rotation_token() -> None:
    assert EVENT["RotationToken"] not in f"{Call.of(EVENT)!r} {Call.of(EVENT)}"


@pytest.mark.parametrize("key", ["SecretId", "ClientRequestToken"])
@pytest.mark.parametrize("value", ["half \ud83e", "🦊"])
def test_an_identifier_that_is_not_ascii_is_refused_before_a_name_is_made_of_it(key: str, value: str) -> None:
    with pytest.raises(InvalidEventError, match=f"^the event's {key} is not plain ASCII;"):
        Call.of(EVENT | {key: value})


@pytest.mark.parametrize("value", [7, ["token"], {"is": "token"}])
def test_a_rotation_token_that_is_no_text_is_refused_and_not_quoted(value: Any) -> None:
    with pytest.raises(InvalidEventError, match=r"^the event's RotationToken is no text;"):
        Call.of(EVENT | {"RotationToken": value})


@pytest.mark.parametrize("detail", [{}, {"detail": None}, {"detail": []}, {"detail": {"executionArn": 7}}])
def test_news_of_no_execution_is_refused(detail: dict[str, Any]) -> None:
    with pytest.raises(InvalidEventError, match=r"it names none$"):
        answer({"detail-type": "Step Functions Execution Status Change"} | detail, LambdaContext())
