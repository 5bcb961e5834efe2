"""Why a secret could not be onboarded, or not rotated once it was: each with what to do next."""

from rotatorctl.attachment import Attachment
from rotatorctl.checks.causes import cause_of
from rotatorctl.deployed import Described
from rotatorctl.executions import Run
from rotatorctl.plan import Plan
from rotatorctl.result import Problem


def not_started(secret: Described) -> Problem:
    return Problem(
        "NotStartedError",
        "Secrets Manager took the request, but no log-in test began: the rotate function was not called, or refused",
        f"`rotatorctl doctor {secret.name}` looks for the cause; then repeat the command",
        secret.name,
    )


def log_in_failed(plan: Plan, run: Run) -> Problem:
    """Of a secret that was made for it, and is deleted again, no command can set the value."""
    (step, error, reason), secret = run.failure, plan.secret
    cause, mend = cause_of(step, error, reason), "mend that"
    why = cause.why if cause else "docs/failures.md#errors says what it means"
    if cause and plan.new and cause.code == "LogInRefused":
        why = "the password is another one at the service, or it does not let this user in from the functions"
    elif cause and cause.command and not plan.new:
        mend = f"mend that; the command is `{cause.command.format(secret=secret.arn, execution=run.execution.arn)}`"
    return Problem(
        "LogInFailedError",
        f"AWSCURRENT did not log in from the functions: {error} in {step}: {reason}; {why}",
        f"{mend}; then repeat the onboarding; {plan.stack.execution_shown(run.execution.arn)}",
        secret.name,
    )


def not_settled(secret: Described) -> Problem:
    return Problem(
        "StillRunningError",
        "it is attached and not rotated yet: Secrets Manager has not taken AWSPENDING off what it tested",
        f"in a minute: rotatorctl rotate {secret.name}",
        secret.name,
    )


def not_rotated(secret: Described, why: Problem) -> Problem:
    return Problem(
        why.code,
        f"it is attached and not rotated yet: {why.message}",
        f"{why.next_step}; then: rotatorctl rotate {secret.name}",
        secret.name,
    )


def stopped(attachment: Attachment) -> Problem:
    name = attachment.change.secret.name
    return Problem(
        "StoppedError",
        "you stopped it before all was done; the log-in test ends by itself and changes nothing, if it had begun: "
        f"{attachment.test_shown}",
        f"`rotatorctl onboard {name}` begins again",
        name,
    )
