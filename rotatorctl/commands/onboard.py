"""`onboard`: put a secret under rotation, once the functions have proven that they can log in with it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rotatorctl import onboarding_failures as failures
from rotatorctl.attachment import Attachment
from rotatorctl.aws import EXPLAINED, explained
from rotatorctl.commands.rotate import Pace, rotated
from rotatorctl.deployed import Described
from rotatorctl.executions import LOGGED_IN, Run
from rotatorctl.following import Following
from rotatorctl.new_secret import create, discard
from rotatorctl.plan import Plan, schedule_of
from rotatorctl.result import Json, Problem, Result
from rotatorctl.schedule import moment, rules_of, words

UNCHANGED, ATTACHED, CREATED, PUT_BACK, REFUSED = "unchanged", "attached", "created", "put back", "refused"


@dataclass(frozen=True)
class Failed:
    """Why a secret could not be attached, and the log-in test that says so, if it had begun."""

    problem: Problem
    run: Run | None = None


def refused(plan: Plan) -> Result:
    """What has to be mended first; nothing was changed."""
    return Result("onboard", _data(plan, REFUSED), (f"{plan.secret.name}: nothing was changed",), plan.problems)


def unchanged(plan: Plan, following: Following) -> Result:
    name = plan.secret.name
    shown = f"{name}: the stack {plan.stack.name!r} rotates it already, {words(plan.change.rules)}; nothing to change"
    return _with_rotation(plan, Result("onboard", _data(plan, UNCHANGED), (shown,)), following)


def onboard(plan: Plan, following: Following) -> Result:
    """Carry the plan out; what the result holds is in docs/cli.md."""
    if plan.changes_nothing:
        return unchanged(plan, following)
    if plan.new:
        secret = create(plan.stack.aws, plan.secret.name, plan.new, plan.change.tags)
        plan = replace(plan, change=replace(plan.change, secret=secret))
    if not plan.attaches:
        return _only_created(plan)
    attachment = Attachment(following, plan.change)
    try:
        outcome = _attached(plan, attachment)
    except BaseException:
        # A fault of this tool: nothing is left behind.
        _undo(plan, attachment)
        raise
    if isinstance(outcome, Failed):
        return _put_back(plan, attachment, outcome)
    return _with_rotation(plan, _done(plan, outcome), following)


def _attached(plan: Plan, attachment: Attachment) -> Run | Failed:
    """Attach, and see the log-in proven."""
    try:
        return _proven(plan, attachment)
    except EXPLAINED as error:
        return Failed(explained(error))


def _proven(plan: Plan, attachment: Attachment) -> Run | Failed:
    attachment.attach()
    run = attachment.tested()
    if attachment.following.stop.is_set():
        return Failed(failures.stopped(plan, attachment), run)
    if run is None:
        return Failed(failures.not_started(plan.secret))
    if run.outcome != LOGGED_IN:
        return Failed(failures.log_in_failed(plan, run), run)
    attachment.settle()
    return Failed(failures.stopped(plan, attachment), run) if attachment.following.stop.is_set() else run


def _put_back(plan: Plan, attachment: Attachment, failed: Failed) -> Result:
    left = _undo(plan, attachment)
    name, why = plan.secret.name, failed.problem
    problems = [Problem(why.code, why.message, why.next_step, name)]
    if left:
        problems.append(failures.not_put_back(plan, left))
    stays = left if plan.new else attachment.left()
    shown = () if left else (f"{name}: {_as_before(plan, stays)}",)
    data = _data(plan, PUT_BACK, failed.run) | {"left": stays, "created": bool(plan.new and left)}
    lines = () if plan.new else (f"left: {each}" for each in stays)
    return Result("onboard", data, (*shown, *lines), tuple(problems))


def _undo(plan: Plan, attachment: Attachment) -> list[str]:
    """Returns what could not be undone."""
    return attachment.put_back() + (discard(plan.stack.aws, plan.secret.arn) if plan.new else [])


def _as_before(plan: Plan, stays: list[str]) -> str:
    secret = plan.secret
    if plan.new:
        return "it is not attached, and the secret that had been made is deleted again"
    if secret.rotation_enabled and secret.function_arn:
        return f"put back: {secret.function_arn} rotates it, {words(rules_of(secret.answer))}"
    back = "put back, as far as AWS lets it" if stays else "put back"
    return f"{back}: its rotation is turned off, as before"


def _done(plan: Plan, run: Run) -> Result:
    now, name, schedule = _now(plan), plan.secret.name, words(plan.change.rules)
    due = now.answer.get("NextRotationDate") if isinstance(now, Described) else None
    dated = f"no date: {now.message}" if isinstance(now, Problem) else _dated(plan, due)
    shown = f"{name}: attached, and AWSCURRENT logged in from the functions; {schedule}, {dated}"
    data = _data(plan, ATTACHED, run) | {"nextRotation": due}
    return Result("onboard", data, (shown,))


def _dated(plan: Plan, due: datetime | None) -> str:
    if due:
        return f"it is due by {moment(due)}"
    unknown, schedule = "Secrets Manager tells no date yet", schedule_of(plan.change)
    if schedule is None or schedule.cron is None:
        return unknown
    opened = ", ".join(moment(at) for at in schedule.openings(datetime.now(UTC)))
    return f"{unknown}; the next windows of its schedule open at {opened}"


def _now(plan: Plan) -> Described | Problem:
    """The secret, or why it could not be read, which changes nothing of what was done."""
    try:
        return Described.read(plan.stack.aws, plan.secret.arn)
    except EXPLAINED as error:
        return explained(error)


def _only_created(plan: Plan) -> Result:
    name, arn = plan.secret.name, plan.secret.arn
    shown = (
        f"{name}: created, not attached. Give the user on the server the password in it, then repeat: {plan.command}",
        f"To read it: aws secretsmanager get-secret-value --secret-id {arn} --query SecretString --output text",
    )
    return Result("onboard", _data(plan, CREATED), shown)


def _with_rotation(plan: Plan, result: Result, following: Following) -> Result:
    """The first rotation, if it is asked for: `rotate` follows it and says how it ended."""
    if not plan.wanted.rotate_now:
        return result
    now = _now(plan)
    if isinstance(now, Problem):
        return replace(result, problems=(failures.not_rotated(plan.secret, now),))
    if now.pending:
        return replace(result, problems=(failures.not_settled(plan.secret),))
    first = rotated(following, [plan.secret.name], Pace())
    data = result.data | {"rotation": next(iter(first.data["secrets"]), None)}
    return Result("onboard", data, (*result.shown, *first.shown), (*result.problems, *first.problems))


def _data(plan: Plan, outcome: str, run: Run | None = None) -> Json:
    _, error, reason = run.failure if run else ("", "", "")
    return {
        "secret": plan.secret.name,
        "secretArn": plan.secret.arn,
        "outcome": outcome,
        "created": plan.new is not None and outcome in (ATTACHED, CREATED),
        "formerFunction": plan.former,
        "schedule": words(plan.change.rules),
        "tags": plan.change.tags,
        "error": error,
        "reason": reason,
        "testExecutionArn": run.execution.arn if run else "",
        "testExecutionUrl": plan.stack.execution_url(run.execution.arn) if run else "",
        "rotation": None,
        "left": [],
    }
