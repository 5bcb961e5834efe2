"""A version that nobody comes back to: its value was refused for good, or somebody took AWSPENDING off it."""

from contextlib import suppress
from dataclasses import replace

from rotation.change import Change
from rotation.errors import RotationError, UnavailableError
from rotation.log_ins import LAST_RETRY
from rotation.model import AWSPENDING, Request
from rotation.outcome import ROLLED_BACK, ROTATED, UNTOUCHED, Failure, Finding
from rotation.redaction import redacted


def given_up(rotation: Change, finding: Finding, failure: Failure) -> Finding:
    """The finding with what becomes of the version.

    A value that the service will never accept is taken off AWSPENDING once AWSCURRENT was proven; else it stays:
    Secrets Manager retries with it, and it may be the only copy of a live credential. Raises UnavailableError: perhaps
    the label is off all the same, and the next call sees.
    """
    if finding.outcome == ROTATED:
        return finding
    if failure.error == "PasswordRejectedError" and finding.outcome in (UNTOUCHED, ROLLED_BACK):
        return _rejected(rotation, finding)
    if not abandoned(rotation):
        return finding
    by_us = _said_before(rotation.request)
    return replace(finding, pending_removed=by_us, abandoned=not by_us)


def _rejected(rotation: Change, finding: Finding) -> Finding:
    try:
        rotation.store.drop_pending(rotation.request.token)
    except RotationError as error:
        if isinstance(error, UnavailableError) and rotation.request.retry_count < LAST_RETRY:
            raise
        return replace(finding, why=f"AWSPENDING could not be taken off the refused value: {redacted(str(error))}")
    return replace(finding, pending_removed=True)


def _said_before(request: Request) -> bool:
    """Whether the message that is to go out says so: then it was this rotation that took AWSPENDING off."""
    return str((request.previous.get("Alert") or {}).get("Key", "")).endswith("/given up")


def abandoned(rotation: Change) -> bool:
    """Whether Secrets Manager has nothing any more to come back to; not if the labels cannot be seen."""
    with suppress(RotationError):
        labels = rotation.description
        return not (labels.rotation_enabled and labels.carries(rotation.request.token, AWSPENDING))
    return False
