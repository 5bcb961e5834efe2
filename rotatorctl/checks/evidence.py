"""What the executions of the secret prove: only the functions themselves can say whether they reach the service."""

from collections.abc import Iterator
from itertools import islice

from rotation.outcome import NEEDS_A_PERSON, ROLLED_BACK, ROTATED, UNTOUCHED
from rotatorctl.checks.base import NOTE, PROBLEM, UNCHECKED, WAITS, WARNING, Check, Examined, Finding
from rotatorctl.executions import LOG_IN_TEST, LOGGED_IN, RUNNING, STOPPED, Run
from rotatorctl.following import turn_on

# Of which the newest that ended with a proof is looked for.
_LOOKED_AT = 5
_PROVES = (ROTATED, UNTOUCHED, ROLLED_BACK, LOGGED_IN)

# What most often lies behind an error; docs/failures.md#errors has all of them.
_CAUSES = {
    "UnavailableError": "no route from the functions to the service, a security group, a service that is stopped, or a "
    "lock (docs/permissions.md#network)",
    "LoginRefusedError": "somebody changed the password by hand, or the service does not let this user in from there",
    "PasswordRejectedError": "the service's password policy refuses the new value: tags rotation:length and "
    "rotation:characters change it (docs/engines.md#tags)",
    "RightsDifferError": "a user lacks a right on the service (docs/engines.md#least-rights)",
    "InvalidSecretError": "the value or a tag cannot drive a rotation, or the service's certificate is not trusted: "
    "parameter PrivateCaCertificate",
    "AccessDeniedError": "IAM or KMS refused the functions' role the action that the error names (docs/permissions.md)",
    "StageConflictError": "somebody moved a label, or wrote a value, while it ran",
    "States.Timeout": "a function gave no answer: most often no route from the VPC to Secrets Manager "
    "(docs/permissions.md#network)",
    "Sandbox.Timedout": "a function gave no answer: most often no route from the VPC to Secrets Manager "
    "(docs/permissions.md#network)",
    "Lambda.TooManyRequestsException": "the function was throttled: its own or the account's concurrency is used up",
    "Runtime.ImportModuleError": "the deployed code is damaged: sam build && sam deploy",
}
_ELSE = "docs/failures.md#errors says what it means"


def _log_in(examined: Examined) -> Iterator[Finding]:
    """Network, TLS and log-in from the functions: by the newest execution that says something of them."""
    run = next((run for run in _runs(examined) if run.outcome not in (RUNNING, STOPPED)), None)
    if run is None:
        yield Finding(
            UNCHECKED,
            WAITS,
            "network, TLS and log-in from the functions",
            "no execution has tried them in the last 90 days; the command tries the log-in and changes nothing",
            turn_on(examined.secret, examined.stack),
        )
    elif run.outcome in _PROVES:
        yield Finding(
            NOTE,
            "LoggedIn",
            f"AWSCURRENT logged in from the functions on {run.started:%Y-%m-%d %H:%M} UTC ({run.outcome})",
            "nobody has tried it since",
            _link(examined, run),
        )
    else:
        yield Finding(
            PROBLEM, "LogInFailed", f"the last attempt to log in failed: {_failure(run)}", *_why(examined, run)
        )


def _last_rotation(examined: Examined) -> Iterator[Finding]:
    rotations = (run for run in _runs(examined) if run.name.kind != LOG_IN_TEST and run.outcome != RUNNING)
    run = next(rotations, None)
    if run and run.outcome in (UNTOUCHED, ROLLED_BACK, STOPPED, NEEDS_A_PERSON):
        found = f"the last rotation ended as {run.outcome!r}: {_failure(run)}"
        yield Finding(PROBLEM, "LastRotationFailed", found, *_why(examined, run))
    elif run is None:
        yield Finding(
            UNCHECKED, WAITS, "how the last rotation ended", "there is none, or it is longer ago than 90 days"
        )


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
    name, arn, version = examined.secret.name, examined.secret.arn, examined.secret.pending
    retry = f"rotatorctl rotate {name}"
    if run is None:
        why = "a rotation was begun, but has no execution: the rotate function was not called, or refused"
        return Finding(WARNING, "PendingWithoutExecution", what, why, retry)
    if run.outcome == RUNNING:
        return Finding(NOTE, "RotationRuns", what, "a rotation is under way", retry)
    ended = f"attempt {run.name.attempt} ended as {run.outcome!r}"
    if run.exhausted:
        why = f"{ended}, and no further attempt with this version is made; AWSCURRENT was proven to log in"
        command = (
            f"aws secretsmanager update-secret-version-stage --secret-id {arn} --version-stage AWSPENDING "
            f"--remove-from-version-id {version} && {retry}"
        )
        return Finding(PROBLEM, "AttemptsUsedUp", what, why, command)
    if run.outcome in (UNTOUCHED, ROLLED_BACK):
        why = f"{ended}: AWSCURRENT was proven to log in, and Secrets Manager retries with the same new value"
        return Finding(WARNING, "PendingStuck", what, why, retry)
    why = f"{ended}: it may be the only copy of a live password, so leave the label there (docs/failures.md)"
    return Finding(PROBLEM, "PendingMayBeLive", what, why, f"rotatorctl history {name}")


def _runs(examined: Examined) -> Iterator[Run]:
    arn = examined.secret.arn
    names = islice(examined.executions.of_secret(arn), _LOOKED_AT)
    return (run for name in names if (run := examined.executions.find(arn, name)))


def _failure(run: Run) -> str:
    step, error, reason = run.failure
    return f"{error} in {step or 'an unknown step'}: {reason}"


def _why(examined: Examined, run: Run) -> tuple[str, str]:
    return _CAUSES.get(run.failure[1], _ELSE), _link(examined, run)


def _link(examined: Examined, run: Run) -> str:
    return f"aws stepfunctions get-execution-history --execution-arn {run.execution.arn}"


CHECKS = (
    Check("pending", "AWSPENDING is on no version of its own", _pending),
    Check("last rotation", "the last rotation did not fail", _last_rotation),
    Check("log-in", "", _log_in),
)
