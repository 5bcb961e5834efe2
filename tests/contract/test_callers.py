"""Who may assume a role, call a function, publish or send: what stands here, in both templates, and nothing else."""

import re
from typing import Any

import pytest

from tests.contract.test_template import ALL, FUNCTIONS, ROLES, of_type
from tests.templates import MONITORING, ROOT, TEMPLATE

type Json = dict[str, Any]

ACCOUNT: Json = {"Ref": "AWS::AccountId"}
SECRETS_MANAGER, EVENTS, LAMBDA = "secretsmanager.amazonaws.com", "events.amazonaws.com", "lambda.amazonaws.com"

# The roles that another service than Lambda assumes.
ASSUMED_BY = {"RotationStateMachineRole": "states.amazonaws.com", "TellRole": EVENTS}

# Each permission by function and principal, and what confines it.
CALLERS: dict[str, tuple[str, str, Json]] = {
    "SecretsManagerPermission": ("RotateFunction", SECRETS_MANAGER, {"SourceAccount": ACCOUNT}),
    **{
        name: (function, EVENTS, {"SourceArn": {"GetAtt": f"{rule}.Arn"}})
        for name, function, rule in (
            ("ExecutionEndedPermission", "RotateFunction", "ExecutionEndedRule"),
            ("KeepSetSecretReadyPermission", "SetSecretFunction", "KeepReadyRule"),
            ("KeepTestSecretReadyPermission", "TestSecretFunction", "KeepReadyRule"),
            ("KeepFinishSecretReadyPermission", "FinishSecretFunction", "KeepReadyRule"),
            ("KeepRollBackReadyPermission", "RollBackFunction", "KeepReadyRule"),
            ("FindOverduePermission", "FindOverdueFunction", "FindOverdueRule"),
        )
    },
}

# Every other resource that gives somebody a right, and all types that give none.
POLICIES = {
    "NetworkInterfacePolicy": "AWS::IAM::ManagedPolicy",
    "MayTellOfFailures": "AWS::IAM::Policy",
    "UndeliveredAlertsPolicy": "AWS::SQS::QueuePolicy",
}
GIVES_NO_RIGHT = {
    "AWS::CloudFormation::Stack",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Events::Rule",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Logs::LogGroup",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::Serverless::Function",
    "AWS::StepFunctions::StateMachine",
}
# Of which SAM would make permissions, policies and URLs that stand nowhere in the template:
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
MADE_BY_SAM = {"Events", "FunctionUrlConfig", "Policies", "EventInvokeConfig"}


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_assumed_by_one_service_and_by_others_than_lambda_for_this_account_only(name: str) -> None:
    statement: Json = {"Effect": "Allow", "Principal": {"Service": ASSUMED_BY.get(name, LAMBDA)}}
    statement["Action"] = "sts:AssumeRole"
    if name in ASSUMED_BY:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}

    assert ROLES[name]["AssumeRolePolicyDocument"] == {"Version": "2012-10-17", "Statement": [statement]}


def test_a_function_is_called_by_the_listed_principals_and_nobody_else() -> None:
    expected = {
        name: {"FunctionName": {"Ref": function}, "Action": "lambda:InvokeFunction", "Principal": principal, **confined}
        for name, (function, principal, confined) in CALLERS.items()
    }

    assert of_type("AWS::Lambda::Permission") == expected


def test_every_resource_that_gives_a_right_is_listed_by_name() -> None:
    giving = {name: body["Type"] for name, body in ALL.items() if body["Type"] not in GIVES_NO_RIGHT}

    listed = POLICIES | dict.fromkeys(ROLES, "AWS::IAM::Role") | dict.fromkeys(CALLERS, "AWS::Lambda::Permission")
    assert giving == listed
    assert len(ALL) == len(TEMPLATE["Resources"]) + len(MONITORING["Resources"])


def test_sam_makes_no_permission_no_policy_and_no_url_of_its_own() -> None:
    assert [name for name, body in FUNCTIONS.items() if MADE_BY_SAM & body.keys()] == []
    assert TEMPLATE["Globals"].keys() == {"Function"}
    assert not MADE_BY_SAM & TEMPLATE["Globals"]["Function"].keys()
    assert [name for name, body in ALL.items() if "Connectors" in body] == []


def test_the_queue_takes_messages_of_the_stacks_rules_and_gives_none() -> None:
    rules = [
        {"If": ["HasNoKey", {"GetAtt": "AlertFailedRule.Arn"}, {"Ref": "AWS::NoValue"}]},
        {"GetAtt": "RollbackEndedRule.Arn"},
        {"If": ["TellsRotationFailed", {"GetAtt": "RotationFailedRule.Arn"}, {"Ref": "AWS::NoValue"}]},
    ]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": EVENTS},
        "Action": "sqs:SendMessage",
        "Resource": {"GetAtt": "UndeliveredAlerts.Arn"},
        "Condition": {"ArnEquals": {"aws:SourceArn": rules}},
    }

    assert ALL["UndeliveredAlertsPolicy"]["Properties"] == {
        "Queues": [{"Ref": "UndeliveredAlerts"}],
        "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }


def test_the_page_says_of_each_function_who_may_call_it() -> None:
    table = (ROOT / "docs/permissions.md").read_text().partition("Who may call in:")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| ([^|]+) \| `([\w.]+)` \|", table)
    on_the_page = {(name, principal) for of, principal in rows for name in re.findall(r"`(\w+)`", of)}
    snake = {function: re.sub(r"(?<!^)(?=[A-Z])", "_", function.removesuffix("Function")) for function in FUNCTIONS}

    called = {(snake[function].lower(), principal) for function, principal, _ in CALLERS.values()}

    assert on_the_page == called | {("UndeliveredAlerts", EVENTS)}
