"""`status`: all secrets of the stack, the most urgent first."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

from rotation.executions import name_prefix
from rotation.settings import PREFIX
from rotatorctl.deployed import Described, Stack, secrets_of
from rotatorctl.executions import LOG_IN_TEST, ROLLBACK, Executions, Name, Run, prefix_among
from rotatorctl.fleet import Member
from rotatorctl.result import Json, Result, Table

_COLUMNS = ("secret", "state", "engine", "strategy", "rotated", "next", "age", "policy", "last outcome", "pending")
# Quotas of DescribeExecution and GetExecutionHistory are 10 to 20 a second in the smaller Regions.
_AT_ONCE = 5


def status(stack: Stack) -> Result:
    """How each secret stands; what the result holds of each is in docs/cli.md."""
    secrets, today = secrets_of(stack), datetime.now(UTC).date()
    executions = Executions(stack)
    latest = _latest(executions, secrets)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        members = list(pool.map(lambda secret: _member(executions, secret, latest.get(secret.arn, []), today), secrets))
    members.sort(key=lambda member: member.rank)
    counts = Counter(member.state for member in members)
    data = {"stack": stack.name, "secrets": [_data(member) for member in members], "summary": dict(counts)}
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    summary = f"{words}; {len(members)} in all" if members else f"no secret names the stack {stack.name!r}"
    table = (Table(_COLUMNS, tuple(_row(member) for member in members)),) if members else ()
    return Result("status", data, (*table, summary), fine=all(member.quiet for member in members))


def _latest(executions: Executions, secrets: list[Described]) -> dict[str, list[str]]:
    """For each secret the names of its newest execution, and of the newest that is no rollback's."""
    wanted, found = {name_prefix(secret.arn): secret.arn for secret in secrets}, dict[str, list[str]]()
    complete = set[str]()
    for name in executions.names() if wanted else ():
        prefix = prefix_among(name, wanted.keys() - complete)
        if prefix and (parsed := Name.of(name, prefix)):
            found.setdefault(wanted[prefix], []).append(name)
            complete |= set() if parsed.kind == ROLLBACK else {prefix}
        if len(complete) == len(wanted):
            break
    return found


def _member(executions: Executions, secret: Described, names: list[str], today: date) -> Member:
    runs = [run for name in names if (run := executions.find(secret.arn, name))]
    engine, strategy = _kind(executions, runs)
    tags = secret.tags
    return Member(
        secret,
        today,
        runs[0] if runs else None,
        tags.get(f"{PREFIX}engine", engine),
        tags.get(f"{PREFIX}strategy", strategy).replace("-", " "),
    )


def _kind(executions: Executions, runs: list[Run]) -> tuple[str, str]:
    """As the functions found the secret to be: its value is not read for a list."""
    return executions.kind(runs[-1]) if runs else ("unknown", "unknown")


def _data(member: Member) -> Json:
    secret, standing, last = member.secret, member.standing, member.last
    next_rotation = standing.secret.next_rotation
    return {
        "secret": secret.name,
        "secretArn": secret.arn,
        "state": member.state,
        "engine": member.engine,
        "strategy": member.strategy,
        "lastRotated": str(member.rotated) if member.rotated else None,
        "nextRotation": str(next_rotation) if next_rotation else None,
        "ageDays": member.age,
        "schedule": member.interval,
        "overdueDays": standing.overdue if secret.rotation_enabled else 0,
        "lastOutcome": last.outcome if last else None,
        "lastKind": last.name.kind if last else None,
        "lastExecutionArn": last.execution.arn if last else None,
        "pendingVersionId": secret.pending or None,
        "rotationEnabled": secret.rotation_enabled,
        "deletionDate": secret.answer.get("DeletedDate"),
        "tags": secret.tags,
    }


def _row(member: Member) -> tuple[str, ...]:
    never, age = "never" if member.secret.rotation_enabled else "-", member.age
    test = " (log-in test)" if member.last and member.last.name.kind == LOG_IN_TEST else ""
    return (
        member.secret.name,
        member.state,
        member.engine,
        member.strategy,
        str(member.rotated or never),
        str(member.standing.secret.next_rotation or "-"),
        "-" if age is None else f"{age} d",
        member.interval,
        (member.outcome or "-") + test,
        member.secret.pending or "-",
    )
