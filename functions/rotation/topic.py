"""The only module that talks to SNS: the alert topic, for what no execution of the state machine tells."""

import json
import os
from functools import cache
from typing import TYPE_CHECKING

import boto3

from rotation.aws import CONFIG, translated
from rotation.model import Json

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

# Lambda calls a function that failed again, minutes later and as a rule in the same process.
_published: set[str] = set()


def publish(subject: str, body: Json, email: str) -> None:
    """Mail gets the text, every other kind of subscriber the JSON, as from the state machine's Alert.

    An alert that this process has published already is not published again. Raises UnavailableError or
    AccessDeniedError.
    """
    alert_id, topic = body["alertId"], os.environ["ALERT_TOPIC_ARN"]
    if alert_id in _published:
        return
    attributes = {"AlertId": alert_id, "Severity": body["severity"], "Outcome": body["outcome"]}
    attributes["Secret"] = body["secretArn"]
    with translated("sns:Publish", topic):
        _client().publish(
            TopicArn=topic,
            Subject=subject,
            Message=json.dumps({"default": json.dumps(body), "email": email}),
            MessageStructure="json",
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    _published.add(alert_id)


@cache
def _client() -> "SNSClient":
    return boto3.client("sns", config=CONFIG)
