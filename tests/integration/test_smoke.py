"""`make smoke-aws` itself, against the offline stack: the same code deploys, rotates, fails, updates and removes."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from tests.integration.conftest import PATIENCE, Deployed
from tests.smoke import aws
from tests.smoke.aws import Smoke
from tests.smoke.stack import Stack, StoppedError
from tests.templates import MONITORING, TEMPLATE

pytestmark = pytest.mark.xdist_group("offline stack")

# The emulator plays no CloudTrail.
OFFLINE = {
    "accepted": "holds",
    "later steps": "holds",
    "cleaned up": "holds",
    "alert": "holds",
    "same token": "holds",
    "update": "holds",
    "confined": "holds",
    "succeeded": "not seen",
}


@pytest.fixture
def smoke(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Smoke]:
    """The template as it was built for the emulator; Secrets Manager's model retries by itself."""
    monkeypatch.setattr(deployed.stack.model._rotations, "retry_after", 1.0)
    client = cast(Callable[[str], Any], deployed.stack.client)
    template = deployed.stack.work_dir / "build" / "template.yaml"
    stack = Stack(client, deployed.stack.environment, template, poll=0.1, patience=PATIENCE)
    smoke = Smoke(stack, retry_patience=PATIENCE, trail_patience=0)
    yield smoke
    left = remains(deployed, smoke.stack.name)
    # The emulator makes a group that is gone anew for a function that ends only then; no role here may do that on AWS.
    left.pop("AWS::Logs::LogGroup", None)
    assert left == {}


_STACKS = "Stacks[?StackStatus!='DELETE_COMPLETE'].StackName"
# How each kind of thing that the templates and the smoke test itself make is listed.
LISTED = {
    "AWS::CloudFormation::Stack": ("cloudformation", "describe_stacks", _STACKS),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries[].DashboardName"),
    "AWS::Events::Rule": ("events", "list_rules", "Rules[].Name"),
    "AWS::IAM::ManagedPolicy": ("iam", "list_policies", "Policies[].PolicyName"),
    "AWS::IAM::Role": ("iam", "list_roles", "Roles[].RoleName"),
    "AWS::Logs::LogGroup": ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    "AWS::S3::Bucket": ("s3", "list_buckets", "Buckets[].Name"),
    "AWS::SNS::Subscription": ("sns", "list_subscriptions", "Subscriptions[].SubscriptionArn"),
    "AWS::SNS::Topic": ("sns", "list_topics", "Topics[].TopicArn"),
    "AWS::SQS::Queue": ("sqs", "list_queues", "QueueUrls[]"),
    "AWS::SecretsManager::Secret": ("secretsmanager", "list_secrets", "SecretList[].Name"),
    "AWS::Serverless::Function": ("lambda", "list_functions", "Functions[].FunctionName"),
    "AWS::StepFunctions::StateMachine": ("stepfunctions", "list_state_machines", "stateMachines[].name"),
}
# What is a part of one of those, and goes with it.
PARTS = {"AWS::IAM::Policy", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission", "AWS::SQS::QueuePolicy"}
# The emulator is deployed without them.
NOT_OFFLINE = {"AWS::Logs::QueryDefinition"}


def remains(deployed: Deployed, name: str) -> dict[str, list[str]]:
    """What an account still has of a smoke test, by its kind."""
    client, found = cast(Callable[[str], Any], deployed.stack.client), dict[str, list[str]]()
    for kind, (service, operation, names) in LISTED.items():
        planned = {"IncludePlannedDeletion": True} if service == "secretsmanager" else {}
        listed = client(service).get_paginator(operation).paginate(**planned).search(names)
        if left := [each for each in map(str, listed) if name in each]:
            found[kind] = left
    return found


def test_all_kinds_of_things_that_are_made_are_looked_for() -> None:
    made = {body["Type"] for template in (TEMPLATE, MONITORING) for body in template["Resources"].values()}

    assert made - LISTED.keys() == PARTS | NOT_OFFLINE


def test_it_sees_what_the_offline_stack_can_show_and_leaves_nothing(
    deployed: Deployed, smoke: Smoke, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, put = list[str](), deployed.stack.model.put_secret_value
    tokens = list[str]()

    def putting(**request: Any) -> Any:
        made.append(request["SecretString"])
        tokens.append(request["RotationToken"])
        return put(**request)

    monkeypatch.setattr(deployed.stack.model, "put_secret_value", putting)
    # The emulator may be done with an update before it is seen; on AWS one takes minutes.
    seen, status = iter(["UPDATE_IN_PROGRESS"] * 2), smoke.stack.status
    monkeypatch.setattr(smoke.stack, "status", lambda: next(seen, None) or status())
    there, clean_up = list[set[str]](), smoke.stack.clean_up

    def cleaning_up() -> list[str]:
        there.append(set(remains(deployed, smoke.stack.name)))
        return clean_up()

    monkeypatch.setattr(smoke.stack, "clean_up", cleaning_up)

    assert not smoke.run()  # no IAM, no CloudTrail

    assert smoke.found == OFFLINE
    # It is found as long as it is there.
    assert there == [LISTED.keys()]
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if "(" in line] == list(OFFLINE.values())
    assert len(made) == 4
    assert [each for each in made + tokens if each in said] == []


def test_it_does_nothing_without_the_number_of_the_account(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in deployed.stack.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Smoke, "run", lambda self: pytest.fail("it ran"))

    assert [aws.main(arguments) for arguments in ([], ["yes"], ["123456789013"])] == [2, 2, 2]

    said = capsys.readouterr().out
    assert "In account 123456789012, Region us-east-1, as arn:aws:iam::" in said
    assert "Nothing was done. To do it: make smoke-aws SMOKE_ACCOUNT=123456789012" in said


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, StoppedError])
def test_it_removes_what_it_made_when_it_is_interrupted(
    smoke: Smoke, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interruption: type[BaseException]
) -> None:
    """In the middle of making things: the bucket is there, a queue was only meant to be."""

    def interrupted(*_: Any) -> str:
        raise interruption

    monkeypatch.setattr(smoke.stack, "deployment", interrupted)

    assert not smoke.run()

    assert set(smoke.found.values()) == {"not seen"}
    assert "NOT REMOVED" not in capsys.readouterr().out


def test_it_names_what_it_could_not_remove_and_removes_the_rest(
    smoke: Smoke, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke.stack.secret("first")
    arn = smoke.stack.secret("second")
    remove, refused = smoke.stack.made[-1][1], ClientError({"Error": {"Code": "AccessDeniedException"}}, "DeleteSecret")

    def refusing() -> None:
        raise refused

    smoke.stack.made[-1] = ("secret second", refusing)

    assert smoke.stack.clean_up() == ["secret second"]

    said = capsys.readouterr().out
    assert "NOT REMOVED, remove it yourself: secret second (ClientError: " in said
    assert smoke.stack.client("secretsmanager").describe_secret(SecretId=arn)["ARN"] == arn
    remove()
