"""RollBack: make AWSCURRENT's credential log in, whatever happened before.

Nothing is taken from what an earlier step said. The service is asked which credential logs in, Secrets Manager where
the labels are; what is true then is the outcome:

    AWSCURRENT is the pending version, and it logs in   rotated: the promotion took effect after all; also if only the
                                                        promotion had failed and the service cannot be asked
    AWSCURRENT logs in at the first look                untouched
    it was refused and logs in now                      rolled back; also if an earlier look may have restored it
    it is refused and cannot be restored                needs a person; the credential that works is named
    it cannot even be tried                             needs a person; the reason is named
"""

from contextlib import suppress
from dataclasses import replace

from rotation.change import Change
from rotation.errors import InvalidEventError, LoginRefusedError, RotationError, UnavailableError
from rotation.giving_up import abandoned, given_up
from rotation.log_ins import LAST_RETRY, Version, worth_trying
from rotation.model import AWSCURRENT, STEPS, Json, Request
from rotation.outcome import (
    BEFORE_SET_SECRET,
    NEEDS_A_PERSON,
    NONE,
    ROLLED_BACK,
    ROTATED,
    UNKNOWN,
    UNTOUCHED,
    Failure,
    Finding,
    error_message,
)
from rotation.redaction import redacted
from rotation.report import verdict
from rotation.strategies.base import accepts

# What else Step Functions and Lambda call a failure, for a person.
_PLAIN_WORDS = {
    "States.Timeout": "the step gave no answer in its time",
    "Sandbox.Timedout": "the function reached its time limit",
    "Lambda.Unknown": "the function ended without an answer",
    "Runtime.ExitError": "the function's process died",
    "Lambda.TooManyRequestsException": "the function was throttled: its concurrency is used up",
}
_PERHAPS = "an earlier look, whose answer was lost, may have had to restore it"
_MOST_ROUNDS = 3


def roll_back(rotation: Change) -> Json:
    """The verdict on a failed attempt, after putting right what can be.

    Raises UnavailableError while the service or Secrets Manager gives no answer: the state machine then asks again.
    """
    request = rotation.request
    failure = failure_of(request)
    rotation.look_back()
    try:
        finding = given_up(rotation, _settle(rotation, failure), failure)
    except UnavailableError as error:
        if request.retry_count < LAST_RETRY:
            raise
        finding = _not_tried(rotation, failure, error)
    except RotationError as error:
        finding = _not_tried(rotation, failure, error)
    return verdict(request, finding, failure)


def _settle(rotation: Change, failure: Failure) -> Finding:
    """Restore until AWSCURRENT is still the version that was looked at."""
    restored = False
    for _ in range(_MOST_ROUNDS):
        current = rotation.look_again().current
        finding = _restore(rotation, failure)
        restored = restored or finding.outcome == ROLLED_BACK
        if rotation.look_again().current != current:
            continue
        if finding.outcome == UNTOUCHED and restored:
            return replace(finding, outcome=ROLLED_BACK)
        if finding.outcome == UNTOUCHED and _may_have_restored(rotation, failure):
            return replace(finding, outcome=ROLLED_BACK, why=_PERHAPS)
        return finding
    raise UnavailableError("AWSCURRENT keeps moving to other versions; something else writes this secret")


def _may_have_restored(rotation: Change, failure: Failure) -> bool:
    """Whether an earlier call of RollBack may have restored the credential and lost its answer.

    There may have been something to restore once a SetSecret of this or an earlier attempt had begun, if a new
    password takes the place of the other.
    """
    request = rotation.request
    begun = request.begun_before or failure.step not in BEFORE_SET_SECRET
    looked = (request.retry_count > 0 and begun) or request.failure.get("Looked", False)
    return looked and not rotation.alternates and not rotation.current_secret.keeps_password


def _not_tried(rotation: Change, failure: Failure, error: RotationError) -> Finding:
    if failure.step == "FinishSecret" and _promoted(rotation):
        # TestSecret had logged in with it, and nothing was changed since.
        return Finding(ROTATED)
    why = f"AWSCURRENT could not be tried: {redacted(str(error))}"
    return Finding(NEEDS_A_PERSON, UNKNOWN, why, abandoned=abandoned(rotation))


def _promoted(rotation: Change) -> bool:
    """Whether AWSCURRENT is the pending version; not if the labels cannot be seen."""
    with suppress(RotationError):
        return rotation.description.carries(rotation.request.token, AWSCURRENT)
    return False


def failure_of(request: Request) -> Failure:
    """The failed step and its error, from the state."""
    if not request.failure:
        raise InvalidEventError("the event is not one of the rotation state machine's: it needs the key 'Failure'")
    error = request.failure["Error"]
    step = request.failure.get("Step") or _step_after(request.completed)
    return Failure(step, error, _PLAIN_WORDS.get(error) or error_message(request.failure["Cause"]))


def _step_after(completed: str) -> str:
    return STEPS[STEPS.index(completed) + 1] if completed in STEPS[:-1] else STEPS[0]


def _restore(rotation: Change, failure: Failure) -> Finding:
    current = rotation.current
    account = f"({current})" if current.host else ""
    tried: list[str] = []
    works = None
    for version in worth_trying(rotation, failure):
        tried.append(version.label)
        if accepts(rotation.engine, version.credentials):
            works = version
            break
    promoted = _promoted(rotation)
    if works and works.label == AWSCURRENT:
        outcome = UNTOUCHED
    elif works:
        if finding := _put_back(rotation, works, account):
            return finding
        outcome = ROLLED_BACK
    else:
        return _none_works(failure, tried, account)
    return Finding(ROTATED if promoted else outcome, account=account)


def _put_back(rotation: Change, works: Version, account: str) -> Finding | None:
    """Makes AWSCURRENT's password the service's again. Returns what is true if that cannot be done, else None.

    Who logs in is asked once more: an answer that was lost says nothing of what the service did.
    """
    refusal = _revert(rotation, works)
    if refusal and accepts(rotation.engine, works.credentials):
        why = f"AWSCURRENT is refused, and its credential could not be set again: {refusal}"
        current = rotation.description.current
        return Finding(
            NEEDS_A_PERSON, works.label, why, account, current_version=current, working_version=works.version
        )
    if accepts(rotation.engine, rotation.current):
        return None
    why = "AWSCURRENT was set again and is refused all the same; something else changes this password"
    return Finding(NEEDS_A_PERSON, NONE, why, account)


def _revert(rotation: Change, works: Version) -> str:
    """Makes the service take AWSCURRENT's password back, from the admin or from the same user's other credential.

    Returns why it did not, or "". Without a pending value this rotation changed nothing, so there is nothing to take
    back. Raises UnavailableError if a further look may find the service ready.
    """
    if not rotation.secret(rotation.request.token, None):
        return "this rotation changed nothing that could be taken back"
    if not works.credentials.same_account(rotation.current):
        return f"{works.label} is for {works.credentials}"
    failures: list[RotationError] = []
    for read_login in (rotation.admin, lambda: works.credentials):
        try:
            if login := read_login():
                rotation.engine.set_password(login, rotation.current)
                return ""
        except RotationError as error:
            # The admin cannot; perhaps the user itself can.
            failures.append(error)
    _ask_again_if_it_may_help(failures, rotation.request.retry_count)
    return "; ".join(redacted(str(error)) for error in failures)


def _ask_again_if_it_may_help(failures: list[RotationError], retry_count: int) -> None:
    """Raises UnavailableError. The last failure is that of the credential that logged in a moment ago."""
    if retry_count >= LAST_RETRY:
        return
    for unavailable in (error for error in failures if isinstance(error, UnavailableError)):
        raise unavailable
    if isinstance(failures[-1], LoginRefusedError):
        raise UnavailableError(f"something else changes this password just now: {failures[-1]}")


def _none_works(failure: Failure, tried: list[str], account: str) -> Finding:
    if not tried:
        why = f"{failure.reason}; no other version was tried, for that could lock the account"
        return Finding(NEEDS_A_PERSON, NONE, why, account)
    if AWSCURRENT in tried:
        return Finding(NEEDS_A_PERSON, NONE, f"refused: {' and '.join(tried)}", account)
    why = (
        "TestSecret and RollBack were refused with AWSPENDING; AWSCURRENT is not tried, for that could lock the account"
    )
    return Finding(NEEDS_A_PERSON, UNKNOWN, why, account)
