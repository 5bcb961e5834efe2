"""Why a secret could not be onboarded, or not rotated once it was: each with what to do next."""

import re

from rotatorctl.attachment import Attachment
from rotatorctl.checks.causes import Cause, cause_of
from rotatorctl.checks.evidence import command_of
from rotatorctl.deployed import Described
from rotatorctl.executions import Run
from rotatorctl.plan import Plan
from rotatorctl.result import Problem

# Of the commands of causes those that change something; the others show what is to be changed.
_CHANGES = re.compile(r"\b(?:put-secret-value|(?:un)?tag-resource|sam deploy)\b")


def not_started(secret: Described) -> Problem:
    return Problem(
        "NotStartedError",
        "Secrets Manager took the request, but no log-in test began: the rotate function was not called, or refused",
        f"`rotatorctl doctor {secret.name}` looks for the cause; then repeat the command",
        secret.name,
    )


def log_in_failed(plan: Plan, run: Run) -> Problem:
    (step, error, reason), secret = run.failure, plan.secret
    cause = cause_of(step, error, reason)
    why = cause.why if cause else "docs/failures.md#errors says what it means"
    if cause and plan.new and cause.code == "LogInRefused":
        why = "the password is another one at the service, or it does not let this user in from the functions"
    shown = plan.stack.execution_shown(run.execution.arn)
    return Problem(
        "LogInFailedError",
        f"AWSCURRENT did not log in from the functions: {error} in {step}: {reason}; {why}",
        f"{_mend(plan, run, cause)}; then repeat the onboarding; {shown} shows the log-in test",
        secret.name,
    )


def _mend(plan: Plan, run: Run, cause: Cause | None) -> str:
    """With the cause's command, but none for a secret that is deleted again, or for what is shown anyway."""
    if cause is None or not cause.command:
        return "mend that"
    if plan.new and "{secret}" in cause.command:
        return (
            'mend that; what no option says, as "ssl": false, a secret can say that you make yourself and onboard then '
            "(docs/engines.md#the-secrets-json)"
        )
    command = command_of(plan.examined, run, cause)
    if run.execution.arn in command:
        return "mend that"
    told = f"the command is `{command}`" if _CHANGES.search(command) else f"`{command}` shows how it stands"
    return f"mend that; {told}"


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


def not_put_back(plan: Plan, left: list[str]) -> Problem:
    """`left` is what could not be undone, in words."""
    name, arn = plan.secret.name, plan.secret.arn
    off = f"to turn its rotation off: aws secretsmanager cancel-rotate-secret --secret-id {arn}"
    delete = f"to delete the secret that was made: aws secretsmanager delete-secret --secret-id {arn}"
    return Problem(
        "NotPutBackError",
        f"what had been changed could not be put back: {'; '.join(left)}",
        f"`rotatorctl doctor {name}` shows how it stands; {delete if plan.new else off}",
        name,
    )


def stopped(plan: Plan, attachment: Attachment) -> Problem:
    """Of a secret that was made, and is deleted again, only the command that was typed has what it was made of."""
    again = "repeat the command with all its options" if plan.new else f"`{plan.command}` begins again"
    return Problem(
        "StoppedError",
        "it was stopped before all was done; the log-in test ends by itself and changes nothing, if it had begun: "
        f"{attachment.test_shown}",
        again,
        plan.secret.name,
    )
