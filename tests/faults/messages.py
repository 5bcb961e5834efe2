"""The judge of what people are told."""

import itertools
import json
from typing import Any

from tests.faults.edges import AFTER, PUBLICATION, REFUSED, STOPPED, TIMED_OUT, Fault
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


def look_at_the_failures(verdict: Verdict, attempts: list[Attempt], faults: tuple[Fault, ...]) -> list[str]:
    """Once for each change of what is true; by another path what could not be sent. Returns what people were told."""
    ids: list[str] = []
    for attempt in attempts:
        ids += [json.loads(message["Message"])["alertId"] for message in attempt.messages]
        told = bool(ids) and ids[-1].endswith(f"-{attempt.key.replace(' ', '-')}")
        verdict.hold(attempt.end not in FAILED or told or bool(attempt.notices), f"nobody was told {attempt.key!r}")
    repeated = len(ids) - len(set(ids))
    lost = sum((fault.edge.where, fault.kind) == (PUBLICATION, AFTER) for fault in faults)
    verdict.hold(repeated <= lost, f"{repeated} messages came twice")
    keys = [each.split("-", 6)[-1] for each in dict.fromkeys(ids)]
    verdict.hold(all(a != b for a, b in itertools.pairwise(keys)), f"told again of the same: {keys}")
    noticed = [notice for attempt in attempts for notice in attempt.notices]
    expected = [fault for fault in faults if fault.kind in (REFUSED, STOPPED, TIMED_OUT)]
    verdict.hold(len(noticed) <= len(expected), f"told by another path, too: {noticed}")
    return keys


def look_at_the_messages(verdict: Verdict, attempts: list[Attempt], faults: tuple[Fault, ...]) -> None:
    """As of failures, and at last that it is over."""
    keys = look_at_the_failures(verdict, attempts, faults)
    failed = any(attempt.end in FAILED for attempt in attempts) and not attempts[-1].notices
    recovered = [RECOVERED] if failed else []
    verdict.hold([key for key in keys if key == RECOVERED] == recovered, f"told of the recovery: {keys}")
    verdict.hold(keys[-1:] == recovered or bool(attempts[-1].notices), f"the last word is {keys[-1:]}")
