"""The deployed stack, as far as a rotation of the secret needs it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rotatorctl.checks.base import PROBLEM, WARNING, Check, Examined, Finding, drifted
from rotatorctl.permissions import Context, PolicyError, Statement
from rotatorctl.result import Json

# https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html
_LEAST_CONCURRENCY = 10
# The template's.
RUNTIME = "python3.13"
_UNCONFIRMED = "PendingConfirmation"


def _functions(examined: Examined) -> Iterator[Finding]:
    client = examined.stack.aws.functions
    for logical_id, function in examined.functions.items():
        name = function.name
        if not function.configuration:
            mend = drifted(examined.stack.name, "no rotation works")
            yield Finding(PROBLEM, "FunctionMissing", f"the function {name} is gone", *mend)
            continue
        yield from _state(name, function.configuration)
        yield from _runtime(name, function.configuration.get("Runtime", ""))
        reserved = client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        yield from _concurrency(name, reserved, logical_id == "RotateFunction")


def _state(name: str, function: Mapping[str, Any]) -> Iterator[Finding]:
    state, update = function.get("State", "Active"), function.get("LastUpdateStatus", "Successful")
    if state == "Inactive":
        yield Finding(
            WARNING,
            "FunctionInactive",
            f"the function {name} is {state}: nobody has called it for weeks",
            "its next call fails while Lambda gives it its network back; the state machine's retries outlast that",
            f"aws lambda invoke --function-name {name} --payload '{{\"KeepReady\": true}}' "
            "--cli-binary-format raw-in-base64-out /dev/null",
        )
    elif state != "Active" or update == "Failed":
        reason = function.get("StateReason") or function.get("LastUpdateStatusReason") or "no reason given"
        yield Finding(
            PROBLEM,
            "FunctionNotReady",
            f"the function {name} is {state}, its last update {update}: {reason}",
            "a rotation that needs it fails",
            f"aws lambda get-function-configuration --function-name {name}",
        )


def _runtime(name: str, runtime: str) -> Iterator[Finding]:
    if runtime.startswith("python") and runtime != RUNTIME:
        yield Finding(
            WARNING,
            "OtherRuntime",
            f"the function {name} runs on {runtime}, and its code is packed for {RUNTIME}",
            "modules that are packed for one Python may not be imported by another, and Lambda takes old ones away",
            "sam build && sam deploy",
        )


def _concurrency(name: str, reserved: int | None, is_rotate: bool) -> Iterator[Finding]:
    if reserved is None or (reserved > 0 and not is_rotate) or reserved >= _LEAST_CONCURRENCY:
        return
    yield Finding(
        PROBLEM if reserved == 0 else WARNING,
        "ConcurrencyTooLow",
        f"the function {name} has a reserved concurrency of {reserved}",
        f"its calls are refused; AWS asks for at least {_LEAST_CONCURRENCY} for a rotation function",
        f"aws lambda delete-function-concurrency --function-name {name}",
    )


def _permission(examined: Examined) -> Iterator[Finding]:
    client, stack, account = examined.stack.aws.functions, examined.stack, examined.account
    try:
        policy = json.loads(client.get_policy(FunctionName=stack.function_arn)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        policy = {"Statement": []}
    keys = {"aws:sourceaccount": account, "aws:sourcearn": examined.secret.arn}
    if not any(_lets_in(statement, keys) for statement in policy["Statement"]):
        yield Finding(
            PROBLEM,
            "InvokePermissionMissing",
            "Secrets Manager may not call the rotate function for this secret",
            'turning rotation on is refused with "access denied", and a rotation never begins',
            f"aws lambda add-permission --function-name {stack.function_arn} --statement-id SecretsManager "
            f"--action lambda:InvokeFunction --principal secretsmanager.amazonaws.com --source-account {account}",
        )


def _lets_in(statement: Json, keys: Context) -> bool:
    """Whether it allows Secrets Manager the call for this secret; one that is not understood is not believed to."""
    principal = statement.get("Principal")
    service = principal.get("Service") if isinstance(principal, dict) else principal
    bare = {name: each for name, each in statement.items() if name not in ("Sid", "Principal")} | {"Resource": "*"}
    try:
        read = Statement.of(bare)
    except PolicyError:
        return False
    of_service = service in ("secretsmanager.amazonaws.com", ["secretsmanager.amazonaws.com"])
    return of_service and read.allows and read.applies("lambda:InvokeFunction", "*", keys)


def _machine(examined: Examined) -> Iterator[Finding]:
    client, arn = examined.stack.aws.machine, examined.stack.machine_arn
    try:
        status = client.describe_state_machine(stateMachineArn=arn)["status"]
    except client.exceptions.StateMachineDoesNotExist:
        status = "DELETING"
    if status != "ACTIVE":
        mend = drifted(examined.stack.name, "no rotation works")
        yield Finding(PROBLEM, "StateMachineGone", f"the state machine {arn} is gone", *mend)


def _subscriptions(examined: Examined) -> Iterator[Finding]:
    stack = examined.stack
    for arn, tells in ((stack.alert_topic_arn, "a failed rotation"), (stack.notice_topic_arn, "a lost alert")):
        listed = stack.aws.topics.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        subscriptions = [each for page in listed for each in page["Subscriptions"]]
        waiting = [each["Endpoint"] for each in subscriptions if each["SubscriptionArn"] == _UNCONFIRMED]
        subscribe = f"aws sns subscribe --topic-arn {arn} --protocol email --notification-endpoint ADDRESS"
        # One that was ended by the link in a mail is listed with "Deleted" in place of its ARN.
        if not any(each["SubscriptionArn"].startswith("arn:") for each in subscriptions):
            yield Finding(
                PROBLEM, "NobodyIsTold", f"nobody is told of {tells}", f"no confirmed subscription: {arn}", subscribe
            )
        for endpoint in waiting:
            yield Finding(
                WARNING,
                "SubscriptionNotConfirmed",
                f"{endpoint} has not confirmed its subscription, so it hears nothing of {tells}",
                "the mail from AWS Notifications has to be answered within days; the command sends another one",
                subscribe.replace("ADDRESS", endpoint),
            )


CHECKS = (
    Check("functions", "all functions of the stack are ready", _functions),
    Check("permission", "Secrets Manager may call the rotate function", _permission),
    Check("state machine", "the state machine is there", _machine),
    Check("subscriptions", "both topics have a confirmed subscription", _subscriptions),
)
