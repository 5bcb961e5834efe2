"""`history`: the executions of one secret, and what each came to."""

from itertools import islice

from rotation.outcome import ROTATED
from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import LOGGED_IN, Executions, Run
from rotatorctl.result import Json, Result, Table

_COLUMNS = ("started", "what, attempt", "outcome", "seconds", "failed in")


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
    table = Table(_COLUMNS, tuple(_row(run) for run in runs), fits=True)
    told = [run for run in runs if run is runs[0] or run.outcome not in (ROTATED, LOGGED_IN)]
    return Result("history", data, (table, *(_execution(stack, run) for run in told)))


def _data(stack: Stack, run: Run) -> Json:
    of_history = {"kind": run.name.kind, "started": run.started}
    return of_history | run.json | {"executionUrl": stack.execution_url(run.execution.arn)}


def _row(run: Run) -> tuple[str, ...]:
    step, error, _ = run.failure
    return (
        _begun(run),
        f"{run.name.kind} {run.name.attempt}",
        run.outcome,
        f"{run.seconds:.0f}",
        ": ".join(filter(None, (step, error))),
    )


def _execution(stack: Stack, run: Run) -> str:
    """A line, which may be as long as an ARN, so that it can be opened or copied whole."""
    return f"{_begun(run)}, version {run.name.version}: {stack.execution_shown(run.execution.arn)}"


def _begun(run: Run) -> str:
    return f"{run.started.astimezone():%Y-%m-%d %H:%M}"
