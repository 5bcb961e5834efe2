"""The judge of what people are told."""

import itertools
import json
from typing import Any

from tests.faults.edges import AFTER, PUBLICATION, REFUSED, Fault
from tests.faults.trial import Attempt
from tests.faults.verdict import Verdict
from tests.workflow.applications import Application

FAILED = ("untouched", "rolled back", "needs a person")
RECOVERED = "rotated/AWSCURRENT"
# The severities and the beginning of the subject that say each outcome.
WORDS = {
    "rotated": (("info",), "Recovered"),
    "untouched": (("warning",), "Rotation failed, nothing changed"),
    "rolled back": (("warning",), "Rotation failed, the old credential is restored"),
    "needs a person": (("warning", "critical"), ("ACTION NEEDED", "CHECK NEEDED")),
}


def look_at_the_words(application: Application, verdict: Verdict, message: dict[str, Any]) -> None:
    """Subject, attributes and body of a message say the same, of this secret and this version."""
    body = json.loads(message["Message"])
    severities, beginning = WORDS[body["outcome"]]
    verdict.hold(message["Subject"].startswith(beginning), f"{body['outcome']!r}, but {message['Subject']!r}")
    verdict.hold(body["severity"] in severities, f"{body['outcome']!r}, but {body['severity']!r}")
    about = (body["secretArn"], body["versionId"])
    verdict.hold(about == (application.arn, application.token), "a message is about another version")
    said = {name: attribute["Value"] for name, attribute in message["MessageAttributes"].items()}
    keys = {"AlertId": "alertId", "Severity": "severity", "Outcome": "outcome", "Secret": "secretArn"}
    keys |= {"Step": "step", "Error": "error"}
    verdict.hold(said == {name: body[key] for name, key in keys.items()}, f"the attributes say otherwise: {said}")


def look_at_the_messages(verdict: Verdict, attempts: list[Attempt], faults: tuple[Fault, ...]) -> None:
    """Once for each change of what is true, and at last that it is over."""
    refused = any(fault.kind == REFUSED for fault in faults)
    ids: list[str] = []
    for attempt in attempts:
        ids += [json.loads(message["Message"])["alertId"] for message in attempt.messages]
        told = ids[-1] if ids else ""
        if attempt.end in FAILED and not (refused and attempt is attempts[0]):
            verdict.hold(told.endswith(f"-{attempt.key.replace(' ', '-')}"), f"nobody was told {attempt.key!r}")
    repeated = len(ids) - len(set(ids))
    lost = sum((fault.edge.where, fault.kind) == (PUBLICATION, AFTER) for fault in faults)
    verdict.hold(repeated == lost, f"{repeated} messages came twice")
    keys = [each.split("-", 6)[-1] for each in dict.fromkeys(ids)]
    verdict.hold(all(a != b for a, b in itertools.pairwise(keys)), f"told again of the same: {keys}")
    failed = any(attempt.end in FAILED for attempt in attempts)
    recovered = [RECOVERED] if failed else []
    verdict.hold([key for key in keys if key == RECOVERED] == recovered, f"told of the recovery: {keys}")
    verdict.hold(keys[-1:] == recovered, f"the last word is {keys[-1:]}")
