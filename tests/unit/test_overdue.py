"""A secret that was not rotated in time is measured every day and told every week."""

import importlib
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectionClosedError
from moto import mock_aws

from rotation import runtime, secret_store, topic
from rotation.errors import AlertFailedError
from rotation.overdue import overdue_alert
from rotation.secret_store import RotatedSecret
from rotation.standing import Standing
from rotatorctl.local.secrets_manager import SILENCES, SecretsManager
from rotatorctl.local.secrets_manager_server import serve

REGION, ACCOUNT, STACK = "eu-central-1", "123456789012", "secret-rotation"
ROTATE_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-rotate"
MARCH = datetime(2026, 3, 1, 10, tzinfo=UTC)
VALUE = "Zk3-vQ9_xT7.bN2"

ROTATED = RotatedSecret(
    name="app",
    arn=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:app-a1B2c3",
    created=date(2025, 1, 1),
    last_rotated=date(2026, 3, 1),
    next_rotation=date(2026, 3, 31),
    after_days=30,
    schedule_expression="",
    pending="",
)
NEVER = replace(ROTATED, last_rotated=None)


def overdue(secret: RotatedSecret, today: date) -> int:
    return Standing(secret, today).overdue


def test_a_secret_is_not_overdue_on_the_day_of_its_window_and_the_one_after() -> None:
    days = [overdue(ROTATED, date(2026, 3, 30) + timedelta(days=day)) for day in range(5)]

    assert days == [0, 0, 0, 2, 3]


def test_a_value_written_by_hand_counts_as_a_rotation() -> None:
    by_hand = replace(ROTATED, next_rotation=date(2026, 4, 20))

    assert (overdue(by_hand, date(2026, 4, 21)), overdue(by_hand, date(2026, 4, 22))) == (0, 2)


def test_a_date_that_is_moved_on_without_a_rotation_is_believed_for_two_intervals() -> None:
    moved = [replace(ROTATED, next_rotation=date(2026, month, 28)) for month in (5, 6, 7)]

    assert [overdue(each, date(2026, 5, 2)) for each in moved] == [2, 2, 2]
    assert [overdue(each, date(2026, 5, 1)) for each in moved] == [0, 0, 0]


def test_an_old_secret_whose_first_rotation_is_still_to_come_is_in_time() -> None:
    assert overdue(NEVER, date(2026, 4, 1)) == 0
    assert overdue(NEVER, date(2026, 4, 2)) == 2


@pytest.mark.parametrize(
    ("secret", "due"),
    [
        (replace(ROTATED, next_rotation=None), date(2026, 3, 31)),
        (replace(NEVER, next_rotation=None), date(2025, 1, 31)),
        (replace(ROTATED, next_rotation=None, schedule_expression="cron(0 8 1 * ? *)"), date(2026, 3, 31)),
        (replace(ROTATED, next_rotation=None, after_days=0, schedule_expression="rate(10 days)"), date(2026, 3, 11)),
        (replace(ROTATED, next_rotation=None, after_days=0, schedule_expression="rate(1 day)"), date(2026, 3, 2)),
        (replace(ROTATED, next_rotation=None, after_days=0, schedule_expression="rate(4 hours)"), date(2026, 3, 1)),
        (replace(ROTATED, after_days=7, schedule_expression="rate(30 days)"), date(2026, 3, 31)),
        (replace(ROTATED, after_days=0, schedule_expression="cron(0 8 1 * ? *)"), date(2026, 3, 31)),
        (replace(ROTATED, next_rotation=None, after_days=0, schedule_expression="cron(0 8 1 * ? *)"), None),
    ],
)
def test_the_day_by_which_a_secret_had_to_be_rotated(secret: RotatedSecret, due: date | None) -> None:
    standing = Standing(secret, date(2030, 1, 1))

    assert standing.due == due
    assert bool(standing.overdue) == (due is not None)


def test_an_age_is_counted_from_the_last_rotation_or_else_from_the_making_and_never_below_nothing() -> None:
    assert [Standing(secret, date(2026, 3, 11)).age for secret in (ROTATED, NEVER)] == [10, 434]
    assert Standing(ROTATED, date(1970, 1, 1)).age == 0


@dataclass
class Clock:
    """Secrets Manager's."""

    now: datetime = MARCH

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Account:
    """An account with one stack: Secrets Manager, the alert topic and a queue that gets its messages."""

    model: SecretsManager
    clock: Clock
    output: pytest.CaptureFixture[str]
    log: io.StringIO
    said: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.model.invoke = self._rotation_function
        self._queue = boto3.client("sqs").create_queue(QueueName="mail")["QueueUrl"]
        self.mend_topic()

    def rotated(self, name: str, on: datetime = MARCH, every: int = 30, function: str = ROTATE_ARN) -> str:
        """The ARN of a secret that was rotated on a day, for the last time so far."""
        self.clock.now = on
        arn = str(self.model.create_secret(Name=name, SecretString=VALUE)["ARN"])
        rules = {"AutomaticallyAfterDays": every}
        self.model.rotate_secret(SecretId=arn, RotationLambdaARN=function, RotationRules=rules)
        self.model.wait(arn)
        assert self.model.rotations(arn)[-1].outcome == "RotationSucceeded"
        return arn

    def _rotation_function(self, function_arn: str, event: dict[str, str]) -> None:
        arn, token = event["SecretId"], event["ClientRequestToken"]
        if event["Step"] == "createSecret":
            self.model.put_secret_value(**_pending(arn, token), caller=function_arn)
        if event["Step"] == "finishSecret":
            current = self.model.get_secret_value(SecretId=arn)["VersionId"]
            self.model.update_secret_version_stage(
                SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
            )

    def run(self, day: date) -> dict[str, Any]:
        """The daily call; returns the metrics that it wrote to its log."""
        event = {"source": "aws.events", "detail-type": "Scheduled Event", "time": f"{day}T08:23:00Z", "detail": {}}
        try:
            importlib.import_module("find_overdue").handler(event, None)
        finally:
            written = self.output.readouterr().out
            self.said += written
        metrics: dict[str, Any] = json.loads(written)
        return metrics

    def messages(self) -> list[dict[str, Any]]:
        """The messages since the last call, each as a queue gets it."""
        answer = boto3.client("sqs").receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.said += message["Body"]
            boto3.client("sqs").delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def subjects(self) -> list[str]:
        return [message["Subject"] for message in self.messages()]

    def break_topic(self) -> None:
        boto3.client("sns").delete_topic(TopicArn=os.environ["ALERT_TOPIC_ARN"])

    def mend_topic(self) -> None:
        sns, queue_arn = boto3.client("sns"), f"arn:aws:sqs:{REGION}:{ACCOUNT}:mail"
        sns.create_topic(Name="alerts")
        sns.subscribe(TopicArn=os.environ["ALERT_TOPIC_ARN"], Protocol="sqs", Endpoint=queue_arn)


def _pending(arn: str, token: str) -> dict[str, Any]:
    return {
        "SecretId": arn,
        "ClientRequestToken": token,
        "SecretString": f"{VALUE} {token}",
        "VersionStages": ["AWSPENDING"],
    }


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Account]:
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_SERVICE_NAME": STACK,
        "ROTATE_FUNCTION_ARN": ROTATE_ARN,
        "ALERT_TOPIC_ARN": f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    [handler] = runtime.logger.handlers
    log = io.StringIO()
    before = handler.setStream(log)  # type: ignore[attr-defined]
    silences = SILENCES["pending-stays-on-current"]
    model = SecretsManager(region=REGION, account=ACCOUNT, clock=(clock := Clock()), silences=silences)
    with mock_aws(), serve(model) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        forget()
        yield Account(model, clock, capsys, log)
    handler.setStream(before)  # type: ignore[attr-defined]


def forget() -> None:
    """What a new process does not have."""
    secret_store._client.cache_clear()
    topic._client.cache_clear()
    topic._published.clear()


def test_an_overdue_secret_is_told_on_its_first_day_and_every_seventh(account: Account) -> None:
    account.rotated("app")
    told = []

    for day in range(60):
        account.run(MARCH.date() + timedelta(days=day))
        told += [(day, subject) for subject in account.subjects()]

    assert told == [(day, f"OVERDUE, not rotated for {day} days: app") for day in (32, 39, 46, 53)]


def test_the_message_says_what_to_do_and_has_the_form_of_the_other_alerts(account: Account) -> None:
    arn = account.rotated("prod/orders/database")

    account.run(date(2026, 4, 2))

    (message,) = account.messages()
    body = json.loads(message["Message"])
    attributes = {name: attribute["Value"] for name, attribute in message["MessageAttributes"].items()}
    assert body | {"whatHappensNext": "", "applicationsAffected": "", "alertId": ""} == {
        "alertId": "",
        "severity": "warning",
        "outcome": "overdue",
        "applicationsAffected": "",
        "whatHappensNext": "",
        "nextCommand": f"aws secretsmanager rotate-secret --secret-id {arn}",
        "secret": "prod/orders/database",
        "secretArn": arn,
        "versionId": "",
        "created": "2026-03-01",
        "lastRotated": "2026-03-01",
        "ageDays": 32,
        "schedule": "every 30 days",
        "dueSince": "2026-03-31",
        "runbook": "docs/failures.md#overdue",
        "overdueDays": 2,
    }
    assert attributes == {
        "AlertId": body["alertId"],
        "Severity": "warning",
        "Outcome": "overdue",
        "Secret": arn,
    }


def test_where_no_rotation_is_under_way_the_mail_says_so_and_promises_no_retry(account: Account) -> None:
    account.rotated("app")

    (secret,) = secret_store.rotated_by(ROTATE_ARN)
    _, _, mail = overdue_alert(Standing(secret, date(2026, 4, 2)))

    assert "\nPending:       none\n" in mail
    assert "\nTo rotate it now; if that fails in the workflow, a message tells why:\n" in mail


def test_a_rotation_that_did_not_end_is_named_with_the_command_that_gives_it_up(account: Account) -> None:
    arn = account.rotated("app")
    pending = "b" * 32
    account.model.put_secret_value(**_pending(arn, pending))

    (secret,) = secret_store.rotated_by(ROTATE_ARN)
    _, body, mail = overdue_alert(Standing(secret, date(2026, 4, 2)))

    assert body["versionId"] == pending
    proven = mail.index(f"    rotatorctl unstick --stack {STACK} {arn} && rotatorctl rotate --stack {STACK} {arn}\n")
    assert mail.index(f"--secret-id {arn} --version-stage AWSPENDING --remove-from-version-id {pending}\n") > proven


def test_a_long_name_leaves_the_subject_as_long_as_sns_allows(account: Account) -> None:
    account.rotated("überall/" + "x" * 200)

    account.run(date(2026, 4, 2))

    (subject,) = account.subjects()
    assert subject.startswith("OVERDUE, not rotated for 32 days: ?berall/xxx")
    assert len(subject) == 99


def test_only_secrets_that_this_stack_rotates_are_looked_at(account: Account) -> None:
    account.rotated("another stack's", function=f"{ROTATE_ARN}-of-another")
    turned_off, deleted = account.rotated("turned off"), account.rotated("deleted")
    account.model.cancel_rotate_secret(SecretId=turned_off)
    account.model.delete_secret(SecretId=deleted)
    account.model.create_secret(Name="never under rotation", SecretString=VALUE)

    metrics = account.run(date(2026, 4, 2))

    assert account.messages() == []
    assert (metrics["OverdueSecrets"], metrics["OldestSecretDays"]) == ([0], [0])


def test_a_secret_on_the_second_page_is_found(account: Account) -> None:
    for number in range(100):
        account.model.create_secret(Name=f"other {number}", SecretString=VALUE)
    account.rotated("app")

    account.run(date(2026, 4, 2))

    assert account.subjects() == ["OVERDUE, not rotated for 32 days: app"]


def test_metrics_tell_how_many_are_overdue_how_long_and_how_old_the_oldest_is(account: Account) -> None:
    account.rotated("in time", every=90)
    account.rotated("late", on=MARCH + timedelta(days=10), every=10)
    account.rotated("later", on=MARCH + timedelta(days=5), every=10)

    metrics = account.run(date(2026, 3, 31))

    (described,) = metrics["_aws"]["CloudWatchMetrics"]
    assert (described["Namespace"], described["Dimensions"]) == ("SecretRotation", [["service"]])
    assert {metric["Name"] for metric in described["Metrics"]} == {
        "OverdueSecrets",
        "MostOverdueDays",
        "OldestSecretDays",
    }
    assert {name: value for name, value in metrics.items() if name != "_aws"} == {
        "service": STACK,
        "OverdueSecrets": [2],
        "MostOverdueDays": [15],
        "OldestSecretDays": [30],
        "overdue": ["later", "late"],
        "oldest": ["in time"],
    }


def test_nothing_overdue_is_measured_too(account: Account) -> None:
    metrics = account.run(date(2026, 4, 2))

    assert [metrics[name] for name in ("OverdueSecrets", "MostOverdueDays", "OldestSecretDays")] == [[0], [0], [0]]


def test_days_are_those_of_utc_wherever_the_function_thinks_it_is(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.rotated("app", on=datetime(2026, 3, 1, 23, tzinfo=UTC))
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        account.run(date(2026, 4, 2))
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

    (message,) = account.messages()
    assert json.loads(message["Message"])["lastRotated"] == "2026-03-01"


def test_a_repeated_run_tells_nothing_twice_and_in_a_new_process_the_same_with_the_same_id(account: Account) -> None:
    account.rotated("app")

    account.run(date(2026, 4, 2))
    account.run(date(2026, 4, 2))
    (first,) = account.messages()
    forget()
    account.run(date(2026, 4, 2))
    (again,) = account.messages()

    assert again["Message"] == first["Message"]
    account.run(date(2026, 4, 9))
    (next_week,) = account.messages()
    assert json.loads(next_week["Message"])["alertId"] != json.loads(first["Message"])["alertId"]


def test_a_message_that_cannot_be_published_is_an_error_after_which_lambda_calls_again(account: Account) -> None:
    account.rotated("app")
    account.run(date(2026, 4, 2))
    account.rotated("orders")
    account.break_topic()
    with pytest.raises(AlertFailedError, match=r"^1 of 2 messages were not published: sns:Publish on arn:aws:sns:"):
        account.run(date(2026, 4, 2))
    account.mend_topic()
    assert account.subjects() == ["OVERDUE, not rotated for 32 days: app"]

    account.run(date(2026, 4, 2))

    assert account.subjects() == ["OVERDUE, not rotated for 32 days: orders"]


def test_a_message_that_cannot_be_published_does_not_keep_the_others_back(account: Account) -> None:
    account.rotated("app")
    account.rotated("orders")
    answers = iter([ConnectionClosedError(endpoint_url="https://sns.example")])

    def fail_once(**_: Any) -> None:
        for failure in answers:
            raise failure

    topic._client().meta.events.register("before-call.sns.Publish", fail_once)

    with pytest.raises(AlertFailedError, match=r"^1 of 2 messages were not published"):
        account.run(date(2026, 4, 2))

    assert len(account.subjects()) == 1
    account.run(date(2026, 4, 2))
    assert len(account.subjects()) == 1


def test_called_by_hand_it_is_of_today(account: Account) -> None:
    account.rotated("app", on=datetime.now(UTC) - timedelta(days=32))

    importlib.import_module("find_overdue").handler({}, None)

    assert account.subjects() == ["OVERDUE, not rotated for 32 days: app"]


def test_no_value_is_in_messages_metrics_or_the_log(account: Account) -> None:
    account.rotated("app")

    account.run(date(2026, 4, 2))
    account.messages()

    assert "OVERDUE" in account.said
    assert "OverdueSecrets" in account.said
    assert '"overdue":1' in account.log.getvalue().replace(" ", "")
    assert VALUE not in account.said + account.log.getvalue()
