"""The example messages in docs/failures.md, made by the code that makes the real ones.

`PYTHONPATH=functions:. python -m tests.unit.failures_page` writes them into the page.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import patch

from rotation.executions import attempt_name, rollback_name
from rotation.model import AWSCURRENT, AWSPENDING, ROTATE, Json, Request
from rotation.outcome import NEEDS_A_PERSON, NONE, ROLLED_BACK, ROTATED, UNKNOWN, UNTOUCHED, Failure, Finding
from rotation.overdue import overdue_alert
from rotation.report import NOTHING_TOLD, verdict
from rotation.secret_store import RotatedSecret
from rotation.standing import Standing
from tests.workflow import second_paths

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/failures.md"
CONSOLE_URL = "https://console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/orders/database-a1B2c3"
TOKEN = "3f0f6f4e-6b4e-4c0d-9a5b-0d8a1f2c7e11"
_OLD_VERSION = "0f4b2c1d-9a77-4e56-8d3b-6c1e5f7a9b20"
_ACCOUNT = "(user 'orders' at db.example:5432)"
_EXAMPLE = re.compile(r"(<!-- example: (?P<name>[a-z-]+) -->\n+```\w+\n)(?P<text>.*?)(?=\n```)", re.DOTALL)

_NO_ANSWER = Failure("SetSecret", "UnavailableError", "user 'orders' at db.example:5432: no answer (timed out)")
_THROTTLED = Failure(
    "FinishSecret", "Lambda.TooManyRequestsException", "the function was throttled: its concurrency is used up"
)
_REJECTED = Failure(
    "SetSecret", "PasswordRejectedError", "user 'orders' at db.example:5432: password too weak (SQLSTATE 22023)"
)
_REFUSED = Failure(
    "SetSecret",
    "LoginRefusedError",
    "neither AWSCURRENT nor AWSPREVIOUS logs in: user 'orders' at db.example:5432: "
    'password authentication failed for user "orders" (SQLSTATE 28P01)',
)
_DENIED = Failure(
    "CreateSecret",
    "AccessDeniedError",
    f"secretsmanager:GetSecretValue on {SECRET}: AccessDeniedException: Access to KMS is not allowed",
)


def _example(finding: Finding, failure: Failure, attempt: int = 1, rolled_back: int = 0) -> Json:
    """The alert of an attempt after so many that had to be put right."""
    with patch.dict(os.environ, CONSOLE_URL=CONSOLE_URL):
        made: Json = verdict(_request(attempt, rolled_back), finding, failure)["Alert"]
    return made


def _request(attempt: int, rolled_back: int) -> Request:
    return Request(
        mode=ROTATE,
        secret_id=SECRET,
        token=TOKEN,
        attempt=attempt,
        previous=NOTHING_TOLD | {"RolledBack": rolled_back, "Told": attempt > 1},
        execution=execution(attempt),
        completed="none",
        current_version=_OLD_VERSION,
        failure={},
        retry_count=0,
        rotation_token="",
        started="",
        kind={},
    )


def execution(attempt: int) -> str:
    """The ARN of an attempt's execution."""
    name = attempt_name(ROTATE, SECRET, TOKEN, attempt)
    return f"arn:aws:states:us-east-1:123456789012:execution:secret-rotation:{name}"


def mail(message: Mapping[str, str]) -> str:
    """A message as its mail shows it."""
    return f"Subject: {message['Subject']}\n\n{message['Email'].rstrip()}"


def _overdue() -> tuple[str, Json, str]:
    """The alert of a secret whose last rotation did not end."""
    made, rotated, due = date(2025, 11, 4), date(2026, 3, 2), date(2026, 4, 1)
    secret = RotatedSecret("prod/orders/database", SECRET, made, rotated, due, 30, "", pending=TOKEN)
    return overdue_alert(Standing(secret, date(2026, 4, 17)))


def _overdue_mail() -> str:
    subject, _, email = _overdue()
    return mail({"Subject": subject, "Email": email})


def _notice(name: str, status: str, error: str | None) -> str:
    """What EventBridge's rule makes of an execution's end."""
    event = json.loads((ROOT / "events/eventbridge/execution_aborted.json").read_text())
    arn = f"{execution(1).rpartition(':')[0]}:{name}"
    event["detail"] |= {"executionArn": arn, "name": name, "status": status, "error": error}
    (text,) = second_paths.notices(event).values()
    return (
        text.replace("any#", "docs/failures.md#")
        .replace("https://any/", "https://console.aws.amazon.com/")
        .replace("region=any", "region=us-east-1")
    )


def _body(message: Json) -> str:
    return json.dumps(message["Body"], indent=2)


_WORKING = Finding(
    NEEDS_A_PERSON,
    AWSPENDING,
    f"AWSCURRENT is refused, and its credential could not be set again: {_DENIED.reason}",
    _ACCOUNT,
    current_version=_OLD_VERSION,
    working_version=TOKEN,
)
_NOBODY = Finding(NEEDS_A_PERSON, NONE, "SetSecret was refused with every one that may be live", _ACCOUNT)
_TAKEN_AWAY = Failure("FinishSecret", "StageConflictError", f"version {TOKEN} is not labelled AWSPENDING")
_NOT_TRIED = Finding(NEEDS_A_PERSON, UNKNOWN, f"AWSCURRENT could not be tried: {_DENIED.reason}")

EXAMPLES: dict[str, Callable[[], str]] = {
    "untouched": lambda: mail(_example(Finding(UNTOUCHED, account=_ACCOUNT), _NO_ANSWER)),
    "rejected": lambda: mail(_example(Finding(UNTOUCHED, account=_ACCOUNT, pending_removed=True), _REJECTED)),
    "cancelled": lambda: mail(_example(Finding(ROLLED_BACK, account=_ACCOUNT, abandoned=True), _TAKEN_AWAY)),
    "rolled-back": lambda: mail(_example(Finding(ROLLED_BACK, account=_ACCOUNT), _THROTTLED)),
    "rolled-back-json": lambda: _body(_example(Finding(ROLLED_BACK, account=_ACCOUNT), _THROTTLED)),
    "last-attempt": lambda: mail(_example(Finding(ROLLED_BACK, account=_ACCOUNT), _THROTTLED, 4, rolled_back=2)),
    "success": lambda: mail(_example(Finding(ROTATED, AWSCURRENT), Failure())),
    "recovered": lambda: mail(_example(Finding(ROTATED, AWSCURRENT), Failure(), 2, rolled_back=1)),
    "action-another-works": lambda: mail(_example(_WORKING, _THROTTLED)),
    "action-none-works": lambda: mail(_example(_NOBODY, _REFUSED)),
    "action-cancelled": lambda: mail(_example(replace(_NOBODY, abandoned=True), _REFUSED)),
    "check": lambda: mail(_example(_NOT_TRIED, _DENIED)),
    "check-after-a-change": lambda: mail(_example(_NOT_TRIED, _DENIED, 2)),
    "alert-not-sent": lambda: _notice(attempt_name(ROTATE, SECRET, TOKEN, 1), "FAILED", "AlertFailedError"),
    "rollback-ended": lambda: _notice(rollback_name(attempt_name(ROTATE, SECRET, TOKEN, 1)), "ABORTED", None),
    "overdue": _overdue_mail,
    "overdue-json": lambda: json.dumps(_overdue()[1], indent=2),
}


def examples() -> dict[str, str]:
    """The examples as they stand in the page."""
    return {found["name"]: found["text"] for found in _EXAMPLE.finditer(PAGE.read_text())}


def _written(text: str) -> str:
    def again(found: re.Match[str]) -> str:
        made = EXAMPLES.get(found["name"])
        return found[1] + (made() if made else found["text"])

    return _EXAMPLE.sub(again, text)


if __name__ == "__main__":
    PAGE.write_text(_written(PAGE.read_text()))
