"""Which log-ins a rollback may try.

Services lock accounts after a few refused log-ins. So of the user that changes no more than two are refused in a whole
attempt: what the failed step was refused just now is not tried again, and beside AWSCURRENT's only that one credential
which may be live.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rotation.change import Change
from rotation.errors import LoginRefusedError, PasswordRejectedError, StageConflictError, UnavailableError
from rotation.model import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Credentials
from rotation.outcome import BEFORE_SET_SECRET, Failure

# The number of the state machine's last retry of RollBack: what cannot be looked at by then is reported as such.
LAST_RETRY = 5


@dataclass(frozen=True)
class Version:
    """A version of the secret and the credential in it; `label` is the one that it had when its rotation began."""

    label: str
    version: str
    credentials: Credentials


def worth_trying(rotation: Change, failure: Failure) -> Iterator[Version]:
    """The credentials that may be live and were not refused just now, the likeliest first."""
    secret = rotation.current_secret
    refused_in = failure.step if failure.error == LoginRefusedError.__name__ else ""
    if refused_in == "SetSecret" and _unmoved(rotation):
        if rotation.alternates:
            # Another user, who was not tried.
            yield from _previous(rotation)
        return
    if refused_in == "TestSecret" and _unmoved(rotation) and not rotation.alternates and not secret.keeps_password:
        # SetSecret had replaced AWSCURRENT's password by it, so if one of the two is live it is this one.
        yield from _pending(rotation, failure)
        return
    yield Version(AWSCURRENT, rotation.description.current, secret.credentials)
    if refused_in != "TestSecret":
        yield from _other(rotation, failure)


def _unmoved(rotation: Change) -> bool:
    """Whether AWSCURRENT is where the steps saw it; else its value may be one that nobody tried."""
    return rotation.description.current == rotation.request.current_version


def _other(rotation: Change, failure: Failure) -> Iterator[Version]:
    """The one credential beside AWSCURRENT's that may be live."""
    # SetSecret looks at the labels before it sends anything: another value, written by hand, has taken AWSPENDING off.
    said_no = {PasswordRejectedError.__name__} | (set() if _unmoved(rotation) else {StageConflictError.__name__})
    not_sent = failure.step == "SetSecret" and failure.error in said_no
    never_set = rotation.request.attempt == 1 and (failure.step == "CreateSecret" or not_sent)
    # Promoted after all, and taken back by a look at older labels: then it is AWSPREVIOUS's that is live.
    never_set = never_set or rotation.description.current == rotation.request.token
    others = [] if never_set else list(_pending(rotation, failure))
    yield from others or _previous(rotation)


def _pending(rotation: Change, failure: Failure) -> Iterator[Version]:
    request = rotation.request
    if pending := rotation.secret(request.token, None):
        yield Version(AWSPENDING, request.token, pending.credentials)
    elif failure.step not in BEFORE_SET_SECRET and request.retry_count < LAST_RETRY:
        # CreateSecret was completed, so this is a read from before its write.
        raise UnavailableError(f"version {request.token} has no value to be seen yet")


def _previous(rotation: Change) -> Iterator[Version]:
    """AWSPREVIOUS's, of the same user, or where two alternate of the other one."""
    pending = rotation.secret(rotation.request.token, None)
    user = pending.credentials if pending else rotation.current
    if (previous := rotation.previous()) and previous.same_account(user):
        yield Version(AWSPREVIOUS, str(rotation.description.version(AWSPREVIOUS)), previous)
