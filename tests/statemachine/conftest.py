"""Runs the test cases of mock_config.json, a file in the format of AWS Step Functions Local, in this process.

moto interprets the state machine. Its interpreter can give a state a mocked answer but reads no such file itself, so
the few lines below read it. An answer stands for the whole call, so neither a function nor the topic is called.
"""

import copy
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import mock_eval_utils
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.mocking.mock_config import (
    MockedResponse,
    MockedResponseReturn,
    MockedResponseThrow,
    MockTestCase,
    StateMockedResponses,
)

ROOT = Path(__file__).parents[2]
MACHINE = "secret-rotation"
CONFIG = json.loads(Path(__file__).with_name("mock_config.json").read_text())
DEFINITION = json.loads((ROOT / "statemachine/rotation.asl.json").read_text())
CASES = CONFIG["StateMachines"][MACHINE]["TestCases"]
_SUBSTITUTIONS = {
    "Partition": "aws",
    "AlertTopicArn": "arn:aws:sns:us-east-1:123456789012:alerts",
    "ConsoleUrl": "https://console.example/executions",
    "RunbookUrl": "docs/failures.md",
}
_FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:"


@dataclass(frozen=True)
class Run:
    """One execution: the states that it entered, how it ended, and what its Task states were given.

    `body` is its input.
    """

    arn: str
    body: dict[str, Any]
    path: list[str]
    status: str
    error: str
    cause: str
    output: Any
    given: list[tuple[str, Any]]


def answers(case: str) -> dict[str, list[dict[str, Any]]]:
    """The answers of each state of a case, one for each attempt."""
    return {state: list(_attempts(CONFIG["MockedResponses"][name])) for state, name in CASES[case].items()}


def _attempts(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The keys of a response are the attempts, counted from 0: "0", or "1-3" for several with one answer."""
    for attempts, answer in response.items():
        first, _, last = attempts.partition("-")
        yield from [answer] * (int(last or first) - int(first) + 1)


def _mocked(attempt: int, answer: dict[str, Any]) -> MockedResponse:
    if "Return" in answer:
        return MockedResponseReturn(attempt, attempt, answer["Return"])
    return MockedResponseThrow(attempt, attempt, answer["Throw"]["Error"], answer["Throw"]["Cause"])


def _test_case(name: str) -> MockTestCase:
    mocked = [
        StateMockedResponses(state, CASES[name][state], [_mocked(*numbered) for numbered in enumerate(sequence)])
        for state, sequence in answers(name).items()
    ]
    return MockTestCase(MACHINE, name, mocked)


class _NoTime:
    """The clock of the interpreter's waits and retry delays."""

    @staticmethod
    def sleep(_: float) -> None:
        """Goes on at once."""


class Machine:
    """The state machine, deployed in the interpreter."""

    def __init__(self) -> None:
        self._client = boto3.client("stepfunctions")
        role = "arn:aws:iam::123456789012:role/machine"
        machine = self._client.create_state_machine(name=MACHINE, definition=_definition(), roleArn=role)
        self._arn = machine["stateMachineArn"]

    def run(self, case: str, body: dict[str, Any]) -> Run:
        """One execution with the answers of `case`; AWS Step Functions Local is given `<machine's ARN>#<case>`."""
        with _answering(_test_case(case)):
            started = self._client.start_execution(stateMachineArn=self._arn, name=case, input=json.dumps(body))
            arn = started["executionArn"]
            while (ended := self._client.describe_execution(executionArn=arn))["status"] == "RUNNING":
                time.sleep(0.01)
        events = self._client.get_execution_history(executionArn=arn)["events"]
        path = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
        output = json.loads(ended["output"]) if "output" in ended else None
        end = ended["status"], ended.get("error", ""), ended.get("cause", ""), output
        return Run(arn, body, path, *end, list(_given(events)))


def _definition() -> str:
    """The definition with its substitutions filled in, as deploying does it, and a Wait that does not wait."""
    definition = copy.deepcopy(DEFINITION)
    definition["States"]["AwaitLateStatement"]["Seconds"] = 0
    text = json.dumps(definition)
    return re.sub(r"\$\{(\w+)\}", lambda match: _SUBSTITUTIONS.get(match[1], _FUNCTION + match[1]), text)


def _given(events: list[Any]) -> Iterator[tuple[str, Any]]:
    state = ""
    for event in events:
        state = event.get("stateEnteredEventDetails", {}).get("name", state)
        if "taskScheduledEventDetails" in event:
            yield state, json.loads(event["taskScheduledEventDetails"]["parameters"])


@contextmanager
def _answering(case: MockTestCase) -> Iterator[None]:
    real = ExecutionWorker._get_evaluation_environment

    def with_answers(worker: ExecutionWorker) -> Environment:
        environment = real(worker)
        environment.mock_test_case = case
        return environment

    with patch.object(ExecutionWorker, "_get_evaluation_environment", with_answers):
        yield


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    config: Any = {"stepfunctions": {"execute_state_machine": True}}
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    with (
        patch.dict(os.environ, environment),
        mock_aws(config=config),
        patch.object(retrier_decl, "time", _NoTime()),
        # It would read the definition again for each execution, which takes most of the time.
        patch.object(AmazonStateLanguageParser, "parse", cache(AmazonStateLanguageParser.parse)),
        # The interpreter's own class takes no name that begins with "States.", which a real States.Timeout does.
        patch.object(mock_eval_utils, "CustomErrorName", ErrorName),
    ):
        yield Machine()
