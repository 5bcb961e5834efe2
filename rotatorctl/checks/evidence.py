"""What the executions of the secret prove: only the functions themselves can say whether they reach the service."""

from collections.abc import Iterator
from datetime import UTC

from rotation.errors import InvalidSecretError
from rotation.outcome import ROLLED_BACK, ROTATED, UNTOUCHED
from rotatorctl.aws import AWS_ERRORS
from rotatorctl.checks.base import NOTE, PROBLEM, UNCHECKED, WAITS, WARNING, Check, Examined, Finding, day
from rotatorctl.checks.causes import Cause, cause_of
from rotatorctl.checks.server import asked_for_its_rules
from rotatorctl.executions import LOG_IN_TEST, LOGGED_IN, RUNNING, STOPPED, Run
from rotatorctl.following import turn_on

_PROVES = (ROTATED, UNTOUCHED, ROLLED_BACK, LOGGED_IN)


def _log_in(examined: Examined) -> Iterator[Finding]:
    """Network, TLS and log-in from the functions: by the newest execution that says something of them."""
    run = next((run for run in examined.runs if run.outcome not in (RUNNING, STOPPED)), None)
    if run is None:
        yield Finding(
            UNCHECKED,
            WAITS,
            "network, TLS and log-in from the functions",
            *_try_log_in(examined),
        )
    elif run.outcome in _PROVES:
        yield Finding(
            NOTE,
            "LoggedIn",
            f"AWSCURRENT logged in from the functions on {run.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC "
            f"({run.outcome})",
            "nobody has tried it since",
            _history(run),
        )
    else:
        yield _failed(examined, run, "LogInFailed", "the last attempt to log in failed")


def _try_log_in(examined: Examined) -> tuple[str, str]:
    """Why nothing is known, and the command that has the log-in tried.

    While a version is pending, RotateSecret has that rotation reattempted, whatever else it was asked:
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
    """
    secret, untried = examined.secret, "no execution has tried them in the last 90 days"
    if secret.pending:
        return f"{untried}; a rotation has left AWSPENDING behind, so first see the check pending", ""
    if examined.is_ours and secret.rotation_enabled:
        return (
            f"{untried}; the command has the functions try the log-in, and rotates nothing",
            f"aws secretsmanager rotate-secret --secret-id {secret.arn} --no-rotate-immediately",
        )
    return f"{untried}; the command has them try it, and turns rotation on, with a schedule", turn_on(secret)


def _last_rotation(examined: Examined) -> Iterator[Finding]:
    rotations = (run for run in examined.runs if run.name.kind != LOG_IN_TEST and run.outcome != RUNNING)
    run = next(rotations, None)
    if run is None:
        yield Finding(
            UNCHECKED, WAITS, "how the last rotation ended", "there is none, or it is longer ago than 90 days"
        )
    elif run.outcome != ROTATED:
        yield _failed(examined, run, "LastRotationFailed", f"the last rotation ended as {run.outcome!r}")
    elif _is_not_counted(examined, run):
        yield Finding(
            WARNING,
            "RotationNotCounted",
            f"the last rotation succeeded on {day(run.started)}, but Secrets Manager does not count it",
            "it may say that the pending version was not created by its rotation function, and will rotate again",
            "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=RotationFailed",
        )


def _is_not_counted(examined: Examined, run: Run) -> bool:
    """AWS shows of LastRotatedDate mostly the day alone."""
    counted = examined.secret.answer.get("LastRotatedDate")
    return examined.secret.rotation_enabled and (counted is None or day(counted) < day(run.started))


def _pending(examined: Examined) -> Iterator[Finding]:
    secret = examined.secret
    if not (version := secret.pending):
        return
    listed = examined.stack.aws.secrets.list_secret_version_ids(SecretId=secret.arn, IncludeDeprecated=True)
    has_value = any(each["VersionId"] == version for each in listed["Versions"])
    value = "holds a value" if has_value else "holds no value yet"
    run = examined.executions.latest(secret.arn, version)
    yield _stuck(examined, f"AWSPENDING is on version {version}, which {value}", run)


def _stuck(examined: Examined, what: str, run: Run | None) -> Finding:
    name = examined.secret.name
    retry = f"rotatorctl rotate {name}"
    if run is None:
        why = "a rotation was begun, but has no execution: the rotate function was not called, or refused"
        return Finding(WARNING, "PendingWithoutExecution", what, why, retry)
    if run.outcome == RUNNING:
        return Finding(NOTE, "RotationRuns", what, "a rotation is under way", retry)
    ended = f"attempt {run.name.attempt} ended as {run.outcome!r}"
    if run.exhausted:
        why = (
            f"{ended}, and no further attempt with this version is made: mend what the check 'last rotation' tells; "
            "the command takes the label off once AWSCURRENT is proven to log in, and rotates afresh"
        )
        return Finding(PROBLEM, "AttemptsUsedUp", what, why, f"rotatorctl unstick {name} && {retry}")
    if run.outcome in (UNTOUCHED, ROLLED_BACK):
        why = f"{ended}: AWSCURRENT was proven to log in, and Secrets Manager retries with the same new value"
        return Finding(WARNING, "PendingStuck", what, why, retry)
    why = f"{ended}: it may be the only copy of a live password, so leave the label there (docs/failures.md)"
    return Finding(PROBLEM, "PendingMayBeLive", what, why, f"rotatorctl history {name}")


def _failed(examined: Examined, run: Run, code: str, what: str) -> Finding:
    """By the code of what most often lies behind the error, if there is something."""
    step, error, reason = run.failure
    what = f"{what}: {error} in {step or 'an unknown step'}: {reason}"
    if cause := cause_of(step, error, reason):
        return Finding(PROBLEM, cause.code, what, cause.why, command_of(examined, run, cause))
    return Finding(PROBLEM, code, what, "docs/failures.md#errors says what it means", _history(run))


def command_of(examined: Examined, run: Run, cause: Cause) -> str:
    """The cause's; that for the execution's history where it needs what cannot be read."""
    words = {"secret": examined.secret.arn, "execution": run.execution.arn}
    try:
        if "{role}" in cause.command:
            words["role"] = examined.functions["SetSecretFunction"].role.rpartition("/")[2]
        if "{service}" in cause.command:
            words["service"] = asked_for_its_rules(examined.value)
    except (InvalidSecretError, KeyError, *AWS_ERRORS):
        return _history(run)
    return cause.command.format(**words)


def _history(run: Run) -> str:
    return f"aws stepfunctions get-execution-history --execution-arn {run.execution.arn}"


CHECKS = (
    Check("pending", "AWSPENDING is on no version of its own", _pending),
    Check("last rotation", "the last rotation did not fail", _last_rotation),
    Check("log-in", "", _log_in),
)
