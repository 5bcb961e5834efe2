"""Calls and costs of a rotation as tables: the counts of docs/calls.md, and its prices with measured durations."""

from collections.abc import Mapping

from tests.bench import calls
from tests.bench.cost import Usage, dollars
from tests.bench.durations import Durations
from tests.bench.tables import Cell, Table
from tests.workflow.applications import SINGLE

# AWS's own function for a single PostgreSQL user:
# https://github.com/aws-samples/aws-secrets-manager-rotation-lambdas, SecretsManagerRDSPostgreSQLRotationSingleUser
AWS_TEMPLATE_CALLS = 14
CALLS = ("of one rotation", *calls.STRATEGIES, "compared with: AWS's template, single user")
COSTS = (
    *("rotations a month", "Step Functions in $", "Secrets Manager in $", "Lambda in $", "X-Ray in $"),
    "in all in $",
    "reckoned with",
)
ROTATIONS = (1, 1_000, 100_000)


def table_of_calls() -> Table:
    rows = [_row("secretsmanager", AWS_TEMPLATE_CALLS), _row("stepfunctions"), _row("sns")]
    rows.append(["state transitions", *[len(calls.states())] * len(calls.STRATEGIES), ""])
    return Table("calls", CALLS, rows)


def _row(service: str, compared: int | str = "") -> list[Cell]:
    def made(strategy: str) -> int:
        return sum(times for (_, call), times in calls.listed(strategy).items() if call.startswith(f"{service}:"))

    return [f"calls to {service}", *map(made, calls.STRATEGIES), compared]


def table_of_costs(measured: Durations, ready: Mapping[str, float]) -> Table:
    """Of a single user's rotations that took as long as those that were measured; `ready`: to get a function ready."""
    usage = Usage(SINGLE, measured.seconds_of_rotate, measured.seconds_of_the_steps, ready)
    parts = {"rotate": usage.rotate, "the steps": sum(usage.steps.values()), "getting ready": sum(ready.values())}
    how = ", ".join(f"{seconds:.1f} s of {what}" for what, seconds in parts.items())
    rows: list[list[Cell]] = []
    for rotations in ROTATIONS:
        digits = 6 if rotations == 1 else 2
        sums = (f"{price:,.{digits}f}" for price in dollars(rotations, usage).values())
        rows.append([f"{rotations:,}", *sums, f"{how}, {measured.functions}"])
    return Table("costs", COSTS, rows)
