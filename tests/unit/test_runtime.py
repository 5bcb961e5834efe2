"""The boundary of every function."""

import io
import json
import traceback
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rotation import runtime, secret_store
from rotation.errors import InvalidEventError, LoginRefusedError
from rotation.redaction import conceal
from rotation.rotation import Rotation
from rotation.runtime import boundary, rotate_handler
from rotation.step_handler import lambda_handler
from tests.function_log import logged_to
from tests.unit.test_model import EVENT

PASSWORD = "Zk3-vQ9_xT7.bN2~mP5"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the functions log."""
    with logged_to(io.StringIO()) as log:
        yield log


class DriverError(Exception):
    """As a library defines it: it needs more than one argument."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)


def test_an_error_of_ours_passes_by_its_own_class_without_the_value() -> None:
    with pytest.raises(LoginRefusedError, match=r"^refused \[redacted\]$") as error, boundary():
        conceal(PASSWORD)
        raise LoginRefusedError(f"refused {PASSWORD}")

    assert PASSWORD not in "".join(traceback.format_exception(error.value))


def test_an_error_of_a_library_passes_by_its_own_name_without_the_value() -> None:
    with pytest.raises(Exception, match=r"\(7, 'near \[redacted\]'\)") as error, boundary():
        conceal(PASSWORD)
        try:
            raise ValueError(PASSWORD)
        except ValueError:
            raise DriverError(7, f"near {PASSWORD}") from None

    assert type(error.value).__name__ == "DriverError"
    assert PASSWORD not in "".join(traceback.format_exception(error.value))
    assert "in test_an_error_of_a_library" in "".join(traceback.format_tb(error.value.__traceback__))


def test_an_error_is_as_long_as_step_functions_keeps_it_and_utf_8_whatever_a_name_in_it_is() -> None:
    with pytest.raises(LoginRefusedError) as error, boundary():
        conceal(PASSWORD)
        raise LoginRefusedError(f"refused {PASSWORD} to half \ud83e {'n' * 60_000}")

    assert str(error.value).startswith("refused [redacted] to half \\ud83e nnn")
    assert len(str(error.value)) < 5_000


def test_each_invocation_begins_without_the_values_of_the_one_before(log: io.StringIO) -> None:
    with boundary():
        conceal(PASSWORD)
        runtime.logger.append_keys(version="the one before")
    with boundary():
        runtime.logger.info(PASSWORD)

    entry = json.loads(log.getvalue())
    assert entry["message"] == PASSWORD
    assert "version" not in entry


def test_no_log_line_carries_a_value_wherever_it_stands_in_it(log: io.StringIO) -> None:
    with boundary():
        conceal(PASSWORD)
        runtime.logger.append_keys(key={"nested": [PASSWORD]})
        runtime.logger.info("message %s", PASSWORD, extra={"extra": object, PASSWORD: 1})
        try:
            raise ValueError(PASSWORD)
        except ValueError:
            runtime.logger.exception("it failed")

    lines = log.getvalue().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["message [redacted]", "it failed"]
    assert PASSWORD not in log.getvalue()


def test_each_line_names_secret_and_version_and_the_last_one_what_was_done(log: io.StringIO) -> None:
    lambda_handler(lambda rotation: {"State": "SetSecret"}, Rotation)(
        EVENT, SimpleNamespace(aws_request_id="request-1")
    )

    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {entry["secret"] for entry in entries} == {"prod/orders/database"}
    assert {entry["version"] for entry in entries} == {EVENT["Request"]["ClientRequestToken"]}
    assert {entry["execution"] for entry in entries} == {EVENT["Request"]["Execution"]}
    assert (entries[0]["message"], entries[0]["function_request_id"]) == ("started", "request-1")
    assert (entries[-1]["message"], entries[-1]["verdict"]) == ("done", "SetSecret")
    assert EVENT["RotationToken"] not in log.getvalue()


def test_a_report_is_logged_with_its_outcome_and_its_warnings(log: io.StringIO) -> None:
    report = {"Outcome": "rolled back", "Step": "TestSecret", "Error": "LoginRefusedError", "Key": "k", "Attempt": 1}
    lambda_handler(lambda rotation: {"Report": report, "Warnings": ["no AWSPREVIOUS"]}, Rotation)(EVENT, None)

    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(entry["level"], entry["message"]) for entry in entries[1:]] == [
        ("WARNING", "no AWSPREVIOUS"),
        ("INFO", "done"),
    ]
    assert entries[-1]["verdict"] == "rolled back"


def test_the_lines_of_rotate_name_step_secret_and_version(log: io.StringIO) -> None:
    event = {"Step": "createSecret", "SecretId": "prod/orders", "ClientRequestToken": "version-1"}
    contexts: list[object] = []

    rotate_handler(lambda event, context: contexts.append(context))(event, "its context")

    entry = json.loads(log.getvalue())
    assert (entry["message"], entry["step"], entry["secret"], entry["version"]) == ("done", *event.values())
    assert contexts == ["its context"]


def test_a_steps_error_does_not_quote_the_rotation_token() -> None:
    def step(rotation: Any) -> Any:
        raise LoginRefusedError(rotation.request.rotation_token)

    with pytest.raises(LoginRefusedError, match=r"^\[redacted\]$"):
        lambda_handler(step, Rotation)(EVENT, None)


def test_rotates_error_does_not_quote_the_rotation_token() -> None:
    def answer(event: Any, context: Any) -> None:
        raise LoginRefusedError(json.dumps(event))

    with pytest.raises(LoginRefusedError) as error:
        rotate_handler(answer)({"Step": "createSecret", "RotationToken": PASSWORD}, None)

    assert PASSWORD not in str(error.value)
    assert "createSecret" in str(error.value)


@pytest.mark.parametrize("event", [None, [], "createSecret", 7])
def test_an_event_that_is_no_object_is_refused(event: Any) -> None:
    with pytest.raises(InvalidEventError):
        rotate_handler(lambda event, context: None)(event, None)
    with pytest.raises(InvalidEventError):
        lambda_handler(lambda rotation: {}, Rotation)(event, None)


def test_a_call_that_gets_a_function_ready_runs_no_step_and_spares_the_next_one_the_making_of_a_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    secret_store._client.cache_clear()

    def step(rotation: Rotation) -> dict[str, Any]:
        raise AssertionError("the step ran")

    assert lambda_handler(step, Rotation)({"KeepReady": True}, None) == {}
    assert secret_store._client.cache_info().currsize == 1
    secret_store._client.cache_clear()
