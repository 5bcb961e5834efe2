"""A version that a rotation has left AWSPENDING on, as a person is shown it before anything is done about it."""

from dataclasses import dataclass

from rotatorctl.deployed import Described, Stack
from rotatorctl.executions import RUNNING, Executions, Run
from rotatorctl.result import CommandError


@dataclass(frozen=True)
class Stuck:
    """A pending version that is not current, and the last attempt with it."""

    secret: Described
    version: str
    last: Run | None

    @property
    def plan(self) -> str:
        ended = (
            f"attempt {self.last.name.attempt} ended as {self.last.outcome!r}" if self.last else "it has no execution"
        )
        # The pending value is tried as one that may be live only in an attempt that follows another.
        restored = "" if self.last else ", and sets AWSCURRENT's again where the service has the pending one"
        return (
            f"{self.secret.name}: AWSPENDING is on version {self.version} ({ended}).\n"
            f"1. The state machine looks which credential logs in{restored}. People are told if that is news.\n"
            "2. If AWSCURRENT logs in, AWSPENDING is taken off this version; the next rotation makes another value.\n"
            "   If only the pending value logs in, the rotation is finished: AWSCURRENT is this version then.\n"
            "   If neither is proven, no label is moved."
        )


def stuck(stack: Stack, secret_id: str) -> Stuck | None:
    """What is stuck. Raises CommandError while a rotation runs, and for a secret that the stack may not read."""
    secret = Described.read(stack.aws, secret_id)
    if secret.deleted or secret.function_arn != stack.function_arn:
        raise CommandError(
            "NotUnderRotationError",
            f"the stack {stack.name!r} may not read it, so it cannot try its credentials",
            f"`rotatorctl doctor {secret.name}` says why",
        )
    if not secret.pending:
        return None
    last = Executions(stack).latest(secret.arn, secret.pending)
    if last and last.outcome == RUNNING:
        raise CommandError(
            "RotationRunsError",
            f"attempt {last.name.attempt} with version {secret.pending} is under way",
            f"`rotatorctl rotate {secret.name}` joins it",
        )
    return Stuck(secret, secret.pending, last)


def moved_on(stack: Stack, found: Stuck) -> bool:
    """Whether labels or attempts are others than in `found`: then what was proven is of another moment."""
    now = Described.read(stack.aws, found.secret.arn)
    last = Executions(stack).latest(found.secret.arn, found.version)
    attempts = [run.name.attempt if run else 0 for run in (last, found.last)]
    return (now.current, now.pending) != (found.secret.current, found.version) or attempts[0] != attempts[1]
