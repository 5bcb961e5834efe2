"""`make smoke-aws` itself, against the offline stack: the same code deploys, rotates, fails, updates and removes."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from tests.integration.conftest import PATIENCE, Deployed
from tests.smoke import aws
from tests.smoke.aws import Smoke
from tests.smoke.stack import Stack, StoppedError

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
    assert remains(deployed, smoke.stack.name) == []


def remains(deployed: Deployed, name: str) -> list[str]:
    """What an account still has of a smoke test."""
    stack = deployed.stack
    stacks = stack.client("cloudformation").describe_stacks()["Stacks"]
    found = [each["StackName"] for each in stacks if each["StackStatus"] != "DELETE_COMPLETE"]
    found += [each["Name"] for each in stack.client("s3").list_buckets()["Buckets"]]
    found += stack.client("sqs").list_queues().get("QueueUrls", [])
    found += [each["Name"] for each in stack.secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"]]
    found += [each["FunctionName"] for each in stack.client("lambda").list_functions()["Functions"]]
    found += [each["name"] for each in stack.client("stepfunctions").list_state_machines()["stateMachines"]]
    return [each for each in found if name in each]


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

    assert not smoke.run()  # no IAM, no CloudTrail

    assert smoke.found == OFFLINE
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
