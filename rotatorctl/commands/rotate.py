"""`rotate`: rotate some secrets and say how each ended."""

import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rotation.outcome import NEEDS_A_PERSON, ROLLED_BACK, ROTATED, UNTOUCHED
from rotatorctl.aws import EXPLAINED, explained
from rotatorctl.deployed import Stack, secrets_of
from rotatorctl.executions import RUNNING, Run
from rotatorctl.following import JOINED, RETRIED, Begun, Following
from rotatorctl.result import CommandError, Json, Problem, Result

NOT_STARTED, REFUSED = "not started", "refused"

# Of those that Step Functions itself gives: the definition could not be carried out.
_RUNTIME = "States.Runtime"

_HOW = {JOINED: ", joined", RETRIED: ", a retry"}
_TRUE_NOW = {
    UNTOUCHED: "nothing changed, and AWSCURRENT logs in",
    ROLLED_BACK: "the old credential is restored, and was proven to log in",
    NEEDS_A_PERSON: "AWSCURRENT was not proven to log in",
}


@dataclass(frozen=True)
class Ended:
    """How it went with one secret."""

    secret: str
    data: Json
    words: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class Pace:
    """How many at once, after how many failures no further one begins, and whether each is followed."""

    at_once: int = 1
    stop_after: int = 1
    no_wait: bool = False


@dataclass
class Campaign:
    """Rotations of several secrets."""

    following: Following
    pace: Pace
    queue: deque[str]
    ended: list[Ended] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Once the following is stopped, no further one begins; those that run go on without being watched."""
        with ThreadPoolExecutor(self.pace.at_once) as pool:
            workers = [pool.submit(self._work) for _ in range(self.pace.at_once)]
        for worker in workers:
            worker.result()

    def _work(self) -> None:
        while (secret := self._next()) is not None:
            ended = self._one(secret)
            with self._lock:
                self.ended.append(ended)

    def _next(self) -> str | None:
        with self._lock:
            failures = sum(1 for each in self.ended if each.problem)
            stopped = self.following.stop.is_set() or failures >= self.pace.stop_after
            return self.queue.popleft() if self.queue and not stopped else None

    def _one(self, secret_id: str) -> Ended:
        try:
            begun = self.following.begin(secret_id)
            if self.pace.no_wait:
                return _only_begun(begun)
            return _ended(self.following, begun, self.following.follow(begun))
        except EXPLAINED as error:
            problem = explained(error)
        named = Problem(problem.code, problem.message, problem.next_step, secret_id)
        return Ended(secret_id, {"secret": secret_id, "outcome": REFUSED, "error": problem.code}, problem=named)


def rotated(following: Following, secrets: Sequence[str], pace: Pace) -> Result:
    """Rotate these secrets; what the result holds of each is in docs/cli.md."""
    campaign = Campaign(following, pace, deque(dict.fromkeys(secrets)))
    campaign.run()
    ended, left = campaign.ended, list(campaign.queue)
    problems = [each.problem for each in ended if each.problem]
    if left:
        problems.append(_not_begun(left, following.stop.is_set(), f"{len(problems)} of {len(ended)} failed"))
    counts = Counter(each.data["outcome"] for each in ended) + Counter({"not begun": len(left)})
    return Result(
        "rotate",
        {"secrets": [each.data for each in ended], "notBegun": left, "summary": dict(counts)},
        (*(each.words for each in ended if each.words), *_summary(counts)),
        tuple(problems),
    )


def chosen(stack: Stack, tags: dict[str, str]) -> list[str]:
    """The names of the stack's secrets that have all these tags. Raises CommandError if there is none."""
    listed = [each for each in secrets_of(stack) if each.rotation_enabled and not each.deleted]
    found = sorted(each.name for each in listed if tags.items() <= each.tags.items())
    if not found:
        asked = ", ".join(f"{key}={value}" for key, value in tags.items())
        raise CommandError(
            "NoSecretError",
            f"of the {len(listed)} secrets that the stack {stack.name!r} rotates none has {asked}",
            "`rotatorctl status --output json` shows their tags; a new tag may take some minutes to be listed",
        )
    return found


def _summary(counts: Counter[str]) -> list[str]:
    words = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return [f"{words}; {counts.total()} in all"] if counts.total() > 1 else []


def _only_begun(begun: Begun) -> Ended:
    name = begun.secret.name
    data = _data(begun) | {"outcome": begun.how}
    return Ended(name, data, f"{name}: {begun.how}, version {begun.version}; `rotatorctl rotate {name}` joins it")


def _ended(following: Following, begun: Begun, run: Run | None) -> Ended:
    name = begun.secret.name
    if run is None and following.stop.is_set():
        return Ended(name, _data(begun) | {"outcome": RUNNING}, problem=_not_seen(begun))
    if run is None:
        return Ended(name, _data(begun) | {"outcome": NOT_STARTED}, problem=_not_started(begun))
    shown = following.stack.execution_shown(run.execution.arn)
    url = following.stack.execution_url(run.execution.arn)
    working = run.report.get("Working", "AWSCURRENT" if run.outcome == ROTATED else "unknown")
    data = _data(begun) | run.json | {"workingCredential": working, "executionUrl": url}
    if run.outcome == ROTATED:
        how = f"{run.seconds:.0f} s, attempt {run.name.attempt}{_HOW.get(begun.how, '')}"
        return Ended(name, data, f"{name}: rotated ({how}). AWSCURRENT is version {run.name.version} and logs in")
    return Ended(name, data, problem=_failed(begun, run, shown))


def _data(begun: Begun) -> Json:
    return {
        "secret": begun.secret.name,
        "secretArn": begun.secret.arn,
        "versionId": begun.version,
        "how": begun.how,
    }


def _failed(begun: Begun, run: Run, shown: str) -> Problem:
    name, (step, error, reason) = begun.secret.name, run.failure
    if run.outcome == RUNNING:
        return Problem(
            "StillRunningError",
            "it goes on without being watched; if it fails it is taken back by itself, and people are told",
            f"`rotatorctl rotate {name}` joins it again; look at the execution: {shown}",
            name,
        )
    true = _TRUE_NOW.get(run.outcome, "and no rollback has reported yet, so whether AWSCURRENT logs in is not known")
    untold = "; the message about it could not be published" if not run.execution.delivered else ""
    section = {UNTOUCHED: "untouched", ROLLED_BACK: "rolled-back"}.get(run.outcome, "outcomes")
    # Whoever stops an execution may give it any error; its status is a name that does not change.
    told = run.execution.reported or run.execution.error == _RUNTIME
    return Problem(
        run.execution.error if told else run.execution.status,
        f"{run.outcome}: {true}{untold}. It failed in {step or 'an unknown step'}: {error}: {reason}",
        f"docs/failures.md#{section} has the commands for this outcome; look at the execution: {shown}",
        name,
    )


def _not_begun(left: Sequence[str], stopped: bool, failures: str) -> Problem:
    why, first = ("you stopped it", "to") if stopped else (failures, "mend that, and to")
    return Problem(
        "NotAllRotatedError",
        f"{why}, so {len(left)} were not begun: {', '.join(left)}",
        f"{first} rotate them: rotatorctl rotate {' '.join(left)}",
    )


def _not_seen(begun: Begun) -> Problem:
    name = begun.secret.name
    return Problem(
        "StillRunningError",
        "you stopped watching before its execution was seen; Secrets Manager has taken the request and goes on, and if "
        "the rotation fails it is taken back by itself, and people are told",
        f"`rotatorctl rotate {name}` joins it again",
        name,
    )


def _not_started(begun: Begun) -> Problem:
    name, arn = begun.secret.name, begun.secret.arn
    return Problem(
        "NotStartedError",
        "Secrets Manager took the request, but no execution began: the rotate function was not called, or refused",
        f"`rotatorctl doctor {name}` looks for the cause; what Secrets Manager says: aws cloudtrail lookup-events "
        "--lookup-attributes AttributeKey=EventName,AttributeValue=RotationFailed "
        f"--query \"Events[?contains(CloudTrailEvent, '{arn}')].CloudTrailEvent\"",
        name,
    )
