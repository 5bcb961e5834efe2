"""The process of the emulator, run by the Python of .venv-emulator: ministack, and what it lacks.

Written against the internals of ministack 1.5.33, to which requirements/emulator.in pins it.
"""

import contextvars
import itertools
import os
import signal
import sys
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc, sns, stepfunctions
from ministack.services.cloudformation import _stacks, engine, provisioners

_execute_task, _invoke_resource = stepfunctions._execute_task, stepfunctions._invoke_resource
_invoke_target, _route_failure = eventbridge._invoke_target, lambda_svc._route_async_failure
_role_of_the_machine: contextvars.ContextVar[str] = contextvars.ContextVar("role_of_the_machine")
_fan_out = sns._fanout
_throttled = lambda_svc._throttle_response
_attributes = sns._parse_message_attributes
_parsed = engine._parse_template
_update = provisioners._update_resource
_numbers = itertools.count(1)


def _end_with_the_parent() -> None:
    """Standard input is a pipe that the parent holds open: however it ends, that closes, and all of us end too."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def _fan_out_with_mail(
    topic_arn: str, message_id: str, message: str, subject: str, structure: str = "", *rest: Any, **named: Any
) -> None:
    """Ministack only logs that there is an email subscription; here its subscriber gets the mail, as a file.

    Subject, address and text are those of https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html;
    the footer with the link to unsubscribe is left out.
    """
    _fan_out(topic_arn, message_id, message, subject, structure, *rest, **named)
    for subscription in sns._topic_by_arn_any_scope(topic_arn)["subscriptions"]:
        if subscription["protocol"] == "email" and subscription["confirmed"]:
            mail = EmailMessage()
            mail["From"] = "AWS Notifications <no-reply@sns.amazonaws.com>"
            mail["To"] = subscription["endpoint"]
            mail["Subject"] = subject or "AWS Notification Message"
            mail.set_content(sns._resolve_message_for_protocol(message, structure, "email"))
            _deliver(mail)


def _deliver(mail: EmailMessage) -> None:
    folder = Path(os.environ["OFFLINE_MAIL_FOLDER"])
    unfinished = folder / f"{next(_numbers):04}.part"
    unfinished.write_bytes(bytes(mail))
    unfinished.rename(unfinished.with_suffix(".eml"))


def _throttled_by_name(*reason: Any, **named: Any) -> dict[str, Any]:
    """A throttled function lacks an error name in ministack, and a state machine sees Lambda.Unknown.

    The name: https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
    """
    answer: dict[str, Any] = _throttled(*reason, **named)
    answer["body"]["errorType"] = "Lambda.TooManyRequestsException"
    return answer


def _attributes_of_a_state_machine(parameters: dict[str, Any]) -> Any:
    """The attributes of a state machine's sns:publish come as they are in the API, and ministack drops them."""
    given = parameters.get("MessageAttributes")
    return given if isinstance(given, dict) else _attributes(parameters)


def _transformed(template: str) -> dict[str, Any]:
    """The template of a nested stack. Ministack applies SAM's transform to a stack's own template alone."""
    applied: dict[str, Any] = engine._apply_transforms(_parsed(template))
    return applied


def _update_with_attributes(*resource: Any) -> Any:
    """What did not change in an update of a nested stack would lose its attributes, and with them every reference."""
    *_, stack, logical_id = resource
    return _update(*resource, _stacks[stack]["_resources"].get(logical_id, {}).get("Attributes"))


# With AUTH=true ministack confines what functions call, each to its role. What it does in the name of a role itself -
# the tasks of a state machine, a rule's target, where Lambda puts what failed - it does not.


def _refusal(role_arn: str, action: str, resource: str) -> str:
    """Why the role's policies do not allow this; nothing if they do."""
    account, name = get_account_id(), role_arn.rpartition("/")[2]
    call = iam_evaluator.EvalContext(
        principal_arn=role_arn,
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
    )
    decision = iam_evaluator.evaluate(call, iam_evaluator._gather_role_policies(name, account)).decision
    return "" if decision == "Allow" else f"{role_arn} is not authorized to perform: {action} on resource: {resource}"


def _task_with_the_machines_role(state: Any, given: Any, execution: Any, context: Any) -> Any:
    machine = stepfunctions._state_machines[execution["stateMachineArn"]]
    _role_of_the_machine.set(machine["roleArn"])
    return _execute_task(state, given, execution, context)


def _resource_of_a_task(resource: str, given: dict[str, Any]) -> Any:
    """Error names: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""
    action, parameter, error = {
        "lambda:invoke": ("lambda:InvokeFunction", "FunctionName", "Lambda.AccessDeniedException"),
        "sns:publish": ("sns:Publish", "TopicArn", "SNS.AuthorizationErrorException"),
    }[resource.partition(":::")[2]]
    if why := _refusal(_role_of_the_machine.get(), action, given[parameter]):
        raise stepfunctions._ExecutionError(error, why)
    return _invoke_resource(resource, given)


def _target_with_its_role(target: dict[str, Any], *event: Any) -> None:
    """A role is what a rule names for a topic; a function allows the rule itself."""
    role = target.get("RoleArn")
    if role and (why := _refusal(role, "sns:Publish", target["Arn"])):
        print(f"EventBridge: {why}", flush=True)
    else:
        _invoke_target(target, *event)


def _failure_with_the_functions_role(queue: str, function: str, *failure: Any) -> None:
    role = lambda_svc._functions[function]["config"]["Role"]
    if why := _refusal(role, "sqs:SendMessage", queue):
        print(f"Lambda: {why}", flush=True)
    else:
        _route_failure(queue, function, *failure)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    sns._fanout = _fan_out_with_mail
    sns._parse_message_attributes = _attributes_of_a_state_machine
    lambda_svc._throttle_response = _throttled_by_name
    engine._parse_template = _transformed  # a nested stack looks it up here; other readers hold the original
    provisioners._update_resource = _update_with_attributes
    stepfunctions._execute_task = _task_with_the_machines_role
    stepfunctions._invoke_resource = _resource_of_a_task
    eventbridge._invoke_target = _target_with_its_role
    lambda_svc._route_async_failure = _failure_with_the_functions_role
    app.main()
