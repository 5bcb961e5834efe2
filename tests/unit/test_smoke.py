"""What `make smoke-aws` looks at and says before it does anything, and the bucket that it makes first."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws

from tests.smoke import aws, before
from tests.smoke.aws import Smoke
from tests.smoke.stack import Stack


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's own, with credentials that do not expire."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


def expiring(minutes: int) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def test_without_a_region_it_says_so_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert aws.main(["123456789012"]) == 2

    assert capsys.readouterr().out.startswith("Nothing was done. No Region is set: export AWS_DEFAULT_REGION, or ")


def test_without_credentials_it_says_so_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    assert aws.main(["123456789012"]) == 2

    assert capsys.readouterr().out.startswith("Nothing was done. There are no credentials: ")


@pytest.mark.parametrize(("minutes", "refused"), [(60, True), (before.LONGEST + 2, False)])
def test_credentials_that_end_before_the_run_and_are_not_renewed_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], minutes: int, refused: bool
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "testing")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", expiring(minutes))
    monkeypatch.setattr(Smoke, "run", lambda self: True)

    with mock_aws():
        assert aws.main(["123456789012"]) == (2 if refused else 0)

    said = capsys.readouterr().out
    assert ("Nothing was done. The credentials in the environment expire before a run may end" in said) == refused
    assert "The credentials expire" not in said
    assert "do not say when they expire" not in said


@pytest.mark.parametrize(("minutes", "warned"), [(60, True), (before.LONGEST + 2, False)])
def test_of_credentials_that_are_renewed_on_the_way_it_warns(
    monkeypatch: pytest.MonkeyPatch, minutes: int, warned: bool
) -> None:
    keys = {"access_key": "testing", "secret_key": "testing", "token": "testing", "expiry_time": expiring(minutes)}
    renewed = RefreshableCredentials.create_from_metadata(keys, refresh_using=lambda: keys, method="assume-role")
    monkeypatch.setattr(boto3.Session, "get_credentials", lambda self: renewed)

    assert before.obstacle(boto3.Session()) == ""
    assert before.warning(boto3.Session()).startswith("The credentials expire before a run may end.") == warned


@pytest.mark.parametrize("temporary", [True, False])
def test_of_credentials_of_which_nobody_knows_when_they_end_it_warns(
    monkeypatch: pytest.MonkeyPatch, temporary: bool
) -> None:
    if temporary:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "testing")

    assert before.obstacle(boto3.Session()) == ""
    assert ("do not say when they expire" in before.warning(boto3.Session())) == temporary


@pytest.mark.parametrize("stays", ["CloudWatch's metrics", "AWSLogDeliveryWrite20150319", ".aws-sam", "CloudTrail"])
def test_what_stays_is_said_before(capsys: pytest.CaptureFixture[str], stays: str) -> None:
    with mock_aws():
        assert aws.main([]) == 2

    assert stays in capsys.readouterr().out.partition("These stay")[2]


@pytest.fixture
def stack() -> Iterator[Stack]:
    with mock_aws():
        yield Stack(cache(boto3.client), {"PATH": "/nowhere"}, poll=0, patience=0)


def buckets(s3: Any) -> list[str]:
    return [each["Name"] for each in s3.list_buckets()["Buckets"]]


def make(s3: Any, stack: Stack) -> None:
    s3.create_bucket(Bucket=stack.name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


def test_a_bucket_that_was_made_by_a_call_whose_answer_was_lost_is_used_and_removed(stack: Stack) -> None:
    make(stack.client("s3"), stack)

    stack.bucket()
    stack.client("s3").put_object(Bucket=stack.name, Key="code", Body=b"")

    assert stack.clean_up() == []
    assert buckets(stack.client("s3")) == []


def test_a_bucket_is_removed_though_nobody_heard_that_it_was_made(stack: Stack) -> None:
    def lose(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://s3.example")

    stack.client("s3").meta.events.register("after-call.s3.CreateBucket", lose)

    with pytest.raises(ReadTimeoutError):
        stack.bucket()

    assert buckets(stack.client("s3")) == [stack.name]
    assert stack.clean_up() == []
    assert buckets(stack.client("s3")) == []


def test_somebody_elses_bucket_of_that_name_is_left_alone(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    role = boto3.client("sts").assume_role(RoleArn="arn:aws:iam::999999999999:role/other", RoleSessionName="other")
    keys = role["Credentials"]
    other = boto3.client(
        "s3",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    make(other, stack)

    assert not Smoke(stack).run()

    assert buckets(other) == [stack.name]
    said = capsys.readouterr().out
    assert f"stopped: the bucket {stack.name} is somebody else's; run it again" in said
    assert "removing" not in said
