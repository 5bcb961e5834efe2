"""The example payloads in events/ are what the handlers and the state machine take."""

import json
from pathlib import Path
from typing import Any

import pytest

from rotation.call import Call
from rotation.executions import attempt_name

ROOT = Path(__file__).parents[2]
DEFINITION = json.loads((ROOT / "statemachine" / "rotation.asl.json").read_text())


def payloads(folder: str) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events" / folder).iterdir())}


CALLS, EXECUTIONS, EVENTS = payloads("secrets_manager"), payloads("executions"), payloads("eventbridge")
ENDS = {name: event for name, event in EVENTS.items() if event["source"] == "aws.states"}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_secrets_manager_is_read(name: str) -> None:
    call = Call.of(CALLS[name])

    head, tail = name.split("_")
    assert call.step == head + tail.capitalize()
    assert call.rotation_token == CALLS[name]["RotationToken"]


@pytest.mark.parametrize("name", EXECUTIONS)
def test_an_executions_input_has_the_keys_of_one_that_rotate_starts(name: str) -> None:
    paths = json.dumps(DEFINITION["States"]).replace("$$.Execution.Input", "$")

    assert EXECUTIONS[name]["Mode"] == "".join(word.capitalize() for word in name.split("_"))
    assert all(f'"$.{key}"' in paths for key in EXECUTIONS[name])
    assert EXECUTIONS[name].keys() == EXECUTIONS["rotate"].keys()


def test_only_a_rotation_carries_the_rotation_token() -> None:
    assert {name for name, body in EXECUTIONS.items() if body["RotationToken"]} == {"rotate"}


@pytest.mark.parametrize("name", ENDS)
def test_an_execution_that_ended_is_named_as_rotate_names_it(name: str) -> None:
    began = json.loads(ENDS[name]["detail"]["input"])

    expected = attempt_name(began["Mode"], began["SecretId"], began["ClientRequestToken"], began["Attempt"])
    assert ENDS[name]["detail"]["name"] == expected
    assert ENDS[name]["detail"]["executionArn"].endswith(f":{expected}")
    assert name == f"execution_{ENDS[name]['detail']['status'].lower()}"
