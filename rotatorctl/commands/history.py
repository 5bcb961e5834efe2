"""`history`: the executions of one secret, and what each came to."""

from itertools import islice

from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import Executions, Run
from rotatorctl.result import Json, Result, Table

_COLUMNS = ("started", "seconds", "what", "attempt", "outcome", "failed in", "error", "version", "execution")


def history(stack: Stack, secret_id: str, limit: int) -> Result:
    """The latest executions, the newest first; what the result holds of each is in docs/cli.md."""
    secret = Described.read(stack.aws, secret_id)
    executions = Executions(stack)
    names = islice(executions.of_secret(secret.arn), limit)
    runs = [run for name in names if (run := executions.find(secret.arn, name))]
    data = {"secret": secret.name, "secretArn": secret.arn, "executions": [_data(stack, run) for run in runs]}
    if not runs:
        none = f"{secret.name}: no execution in the last 90 days; Step Functions keeps them no longer"
        return Result("history", data, (none,))
    return Result("history", data, (Table(_COLUMNS, tuple(_row(stack, run) for run in runs)),))


def _data(stack: Stack, run: Run) -> Json:
    of_history = {"kind": run.name.kind, "started": run.started}
    return of_history | run.json | {"executionUrl": stack.execution_url(run.execution.arn)}


def _row(stack: Stack, run: Run) -> tuple[str, ...]:
    step, error, _ = run.failure
    return (
        f"{run.started.astimezone():%Y-%m-%d %H:%M}",
        f"{run.seconds:.0f}",
        run.name.kind,
        str(run.name.attempt),
        run.outcome,
        step,
        error,
        run.name.version,
        stack.execution_url(run.execution.arn),
    )
