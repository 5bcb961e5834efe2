"""The real state machine and the real handlers in one process.

moto interprets the ASL and carries the messages; a hook lets its Lambda backend call the handlers; the project's own
model plays Secrets Manager's side, because moto's calls every step even after one has failed and promotes by itself.
Every call is made with the role that the template gives its caller.
"""

import importlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import boto3
from cryptography.hazmat.primitives.asymmetric import rsa
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.serialize import AttributePicker, AttributePickerContext
from moto.sns.models import Subscription
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends

from rotation import executions, secret_store, waiting
from rotatorctl.local.secrets_manager import FunctionError, SecretsManager, Silences
from rotatorctl.local.secrets_manager_server import serve
from rotatorctl.permissions import Role
from tests import sdk
from tests.templates import TEMPLATE, Deployment, named_roles
from tests.workflow.acting import MACHINE, acting_as, confined, say_who_calls

ROOT = Path(__file__).parents[2]
REGION, ACCOUNT = "eu-central-1", "123456789012"
STATES = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret", "RollBack")
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
ROTATE, FIND_OVERDUE = "rotate", "find_overdue"
STACK_NAME = "rotation"
# With this tag the stack may read an admin secret.
ADMIN = {"rotation:admin": STACK_NAME}

type Handler = Callable[[Mapping[str, Any], Any], Any]
# Each caller's role, by its logical id in the template.
ROLES = {state: f"{state}Role" for state in STATES}
ROLES |= {ROTATE: "RotateRole", FIND_OVERDUE: "FindOverdueRole", MACHINE: "RotationStateMachineRole"}

# The interpreter would read the definition again for each execution; what an execution remembers is not kept in it.
_parsed = cache(AmazonStateLanguageParser.parse)
# And each path of it, whenever a state reads its input.
_path = cache(json_path.parse)  # type: ignore[attr-defined]  # moto imports it there

# And a client for each function that it calls.
_caller = cache(boto_client_for)
_pick = AttributePicker.__call__
# It logs of each state that fails all that it is made of; what failed is in the history.
logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
sdk.remember()


def _picked(picker: AttributePicker, context: AttributePickerContext) -> Any:
    """An event of a history has few of the sixty details that there are; moto would look for each by five names."""
    found = context.obj
    if type(found) is dict and "previousEventId" in found and context.key not in found:
        return None
    return _pick(picker, context)


@cache
def _session() -> boto3.Session:
    """Moto makes boto3 forget its session, and with it the descriptions of the services that it has read."""
    session = boto3.Session()
    session.events.register("before-send.secrets-manager", say_who_calls)
    return session


@cache
def _client(service: str) -> Any:
    """One for all machines: moto answers for each region and account, whoever calls."""
    make: Any = boto3.client
    return make(service)


class _Model:
    """The model of the machine that runs, for callers whose clients outlive it."""

    now: SecretsManager

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


_servers = ExitStack()


@cache
def _served() -> tuple[_Model, str]:
    """One server for all machines: each caller makes its client once. It ends with the process."""
    model = _Model()
    return model, _servers.enter_context(serve(cast(SecretsManager, model)))


# `rotate` is called in this process, and would make its clients again for each machine.
_of_executions = cache(executions._client.__wrapped__)
_of_secrets = cache(secret_store._client.__wrapped__)


def _forget_the_server() -> None:
    """A fork has no thread that serves."""
    _served.cache_clear()
    _of_secrets.cache_clear()


os.register_at_fork(after_in_child=_forget_the_server)


@cache
def deployment() -> Deployment:
    """The template, as it would have to be deployed for what is here."""
    ids = {f"{state}Function": state for state in STATES} | {"AlertTopic": "alerts"}
    return Deployment(TEMPLATE, STACK_NAME, REGION, ACCOUNT, ids, {"FunctionName": ROTATE})


@cache
def deployed_roles() -> Mapping[str, Role]:
    return named_roles(deployment().roles())


# moto would make a new key for each subscription, whose making takes as long as an invocation.
_signing_key = cache(partial(rsa.generate_private_key, 65537, 2048))


_start = StepFunctionsParserBackend.start_execution
_starting = threading.Lock()


def _started(*arguments: Any, **named: Any) -> Any:
    """Of one name there is one execution, though two ask for it at once; the interpreter would start both.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    with _starting:
        return _start(*arguments, **named)


class _Hurry:
    """The clock of the interpreter's retries: a second is a millisecond."""

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds / 1000)


class FunctionFailedError(Exception):
    """A call of a function that ended with an error of the platform, such as a time-out."""

    def __init__(self, error: str, message: str = "") -> None:
        super().__init__(message)
        self.error = error


class Lambda(LambdaSimpleBackend):
    """moto's Lambda backend, calling the project's own handlers."""

    handlers: Mapping[str, Handler] = {}

    def invoke(
        self, function_name: str, qualifier: str | None, body: Any, headers: Any, response_headers: Any
    ) -> str | bytes | None:
        name = function_name.rpartition(":")[2]
        try:
            answer = self.handlers[name](json.loads(body), None)
        except Exception as error:
            response_headers["x-amz-function-error"] = "Unhandled"
            kind = error.error if isinstance(error, FunctionFailedError) else type(error).__name__
            answer = {"errorType": kind, "errorMessage": str(error)}
        return json.dumps(answer).encode()


class Context:
    """What the Lambda runtime tells `rotate` about its time."""

    def __init__(self, seconds: float) -> None:
        self._milliseconds = int(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class Machine:
    """The deployed parts, as a person sees them: functions, executions, messages, Secrets Manager."""

    def __init__(self, definition: dict[str, Any], silences: Silences) -> None:
        self.handlers: dict[str, Handler] = {state: handler(state) for state in STATES}
        self.seconds = 120.0
        self.roles = {caller: deployed_roles()[name] for caller, name in ROLES.items()}
        self.secrets_manager = SecretsManager(
            invoke=self.rotate, silences=silences, region=REGION, account=ACCOUNT, roles=self.roles
        )
        self.stepfunctions, self._sqs, self._sns = map(_client, ("stepfunctions", "sqs", "sns"))
        self._queue = self._sqs.create_queue(QueueName="mail")["QueueUrl"]
        self.topic = self._subscribe()
        self.arn = self._deploy(definition, self.topic)

    def _subscribe(self) -> str:
        topic = str(self._sns.create_topic(Name="alerts")["TopicArn"])
        queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:mail"
        self._sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
        return topic

    def _deploy(self, definition: dict[str, Any], topic: str) -> str:
        values = {f"{state}FunctionArn": f"{FUNCTION_ARN}{state}" for state in STATES}
        values |= {"Partition": "aws", "AlertTopicArn": topic, "ConsoleUrl": "https://console.example/executions"}
        values |= {"RunbookUrl": "docs/failures.md"}
        text = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], json.dumps(definition))
        role = f"arn:aws:iam::{ACCOUNT}:role/machine"
        machine = self.stepfunctions.create_state_machine(name=STACK_NAME, definition=text, roleArn=role)
        return str(machine["stateMachineArn"])

    def rotate(self, function_arn: str, event: dict[str, str]) -> None:
        """Secrets Manager's call of the rotation function."""
        try:
            handler(ROTATE)(event, Context(self.seconds))
        except Exception as error:
            raise FunctionError(f"{type(error).__name__}: {error}") from error

    def execution_ended(self, arn: str) -> None:
        """What the EventBridge rule does when an execution has timed out, was stopped, or failed."""
        self.await_end(arn)
        (execution,) = (each for each in self.executions() if each["executionArn"] == arn)
        self.tell_rotate(self.status_change(execution))

    def status_change(self, execution: Mapping[str, Any]) -> dict[str, Any]:
        """The event of an execution's end."""
        event: dict[str, Any] = json.loads((ROOT / "events/eventbridge/execution_aborted.json").read_text())
        event["detail"] |= {
            key: execution[key] for key in ("executionArn", "stateMachineArn", "name", "status", "input")
        }
        event["detail"] |= {key: execution.get(key) for key in ("error", "cause")}
        return event

    def tell_rotate(self, event: dict[str, Any]) -> None:
        handler(ROTATE)(event, Context(self.seconds))

    def await_end(self, arn: str) -> None:
        while self._runs(arn):
            time.sleep(0.01)

    def settle(self) -> None:
        """Wait until no execution runs: Secrets Manager is done as soon as the label moved, the machine a bit later."""
        while self._runs():
            time.sleep(0.01)

    def _runs(self, arn: str = "") -> bool:
        """Whether this execution runs, or any."""
        return any(each.status == "RUNNING" and arn in ("", each.exec_arn) for each in self._executions())

    def executions(self, but: Container[str] = ()) -> list[dict[str, Any]]:
        """All executions but these (ARNs), oldest first, as DescribeExecution shows them."""
        return [
            {**each.to_describe_output(), "status": each.status}
            for each in sorted(self._executions(), key=lambda each: each.start_date)
            if each.exec_arn not in but
        ]

    def history(self, arn: str) -> list[dict[str, Any]]:
        """The events of an execution, as GetExecutionHistory shows them."""
        [execution] = (each for each in self._executions() if each.exec_arn == arn)
        return list(execution.to_history_output()["events"])

    @staticmethod
    def _executions() -> list[Any]:
        """Those of the interpreter. To ask for them by requests took a third of all that a trial of a fault did."""
        machines = stepfunctions_parser_backends[ACCOUNT][REGION].state_machines
        return [execution for machine in machines for execution in machine.executions]

    def path(self, arn: str) -> list[str]:
        """The states that an execution entered."""
        entered = "stateEnteredEventDetails"
        return [event[entered]["name"] for event in self.history(arn) if entered in event]

    def break_topic(self) -> None:
        """From now on nothing can be published."""
        self._sns.delete_topic(TopicArn=self.topic)

    def mend_topic(self) -> None:
        self._subscribe()

    def messages(self) -> list[dict[str, Any]]:
        """The messages since the last call, each as a queue gets it: Subject, Message (JSON), MessageAttributes."""
        answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def handler(caller: str) -> Handler:
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", caller).lower()
    return acting_as(caller, importlib.import_module(module).handler)


# Seconds between two looks of `rotate` that waits: with fewer, looking would take longest of all that a test does.
_LOOK = 0.15
# What is replaced: what would be done again and again, what takes time, and what AWS does otherwise.
_INSTEAD: tuple[tuple[Any, str, Any], ...] = (
    (LambdaSimpleBackend, "invoke", Lambda.invoke),
    (StepFunctionsParserBackend, "start_execution", _started),
    (AmazonStateLanguageParser, "parse", _parsed),
    (json_path, "parse", _path),
    (lambda_eval_utils, "boto_client_for", lambda region, service, **_: _caller(region, service)),
    (AttributePicker, "__call__", _picked),
    (Subscription, "private_key", lambda _: _signing_key()),
    (retrier_decl, "time", _Hurry()),
    (waiting, "LABELS_EVERY", _LOOK),
    (waiting, "EXECUTION_FIRST", (_LOOK, _LOOK)),
    (waiting, "EXECUTION_AGAIN", (_LOOK, _LOOK)),
    (waiting, "LOG_IN_AGAIN", (0.05, 0.05)),
)


@contextmanager
def _replaced(parts: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    with ExitStack() as replaced:
        for owner, name, instead in parts:
            replaced.enter_context(patch.object(owner, name, instead))
        yield


@contextmanager
def running(silences: Silences, definition: dict[str, Any]) -> Iterator[Machine]:
    """The machine, with retry delays a thousand times shorter and clients of its own."""
    config: Any = {"lambda": {"use_docker": False}, "stepfunctions": {"execute_state_machine": True}}
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "CONSOLE_URL": "https://console.example/executions",
    }
    with (
        patch.dict(os.environ, environment),
        mock_aws(config=config),
        patch.object(boto3, "DEFAULT_SESSION", _session()),
        _replaced(_INSTEAD),
    ):
        machine = Machine(definition, silences)
        model, url = _served()
        model.now = machine.secrets_manager
        with (
            confined(machine.roles),
            patch.object(LambdaSimpleBackend, "handlers", machine.handlers, create=True),
            patch.dict(os.environ, {"AWS_ENDPOINT_URL_SECRETS_MANAGER": url, "STATE_MACHINE_ARN": machine.arn}),
            _replaced(((executions, "_client", _of_executions), (secret_store, "_client", _of_secrets))),
        ):
            yield machine
            machine.settle()
