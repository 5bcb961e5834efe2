"""How Secrets Manager rotates a secret: what it sends to the rotation function, and what it concludes.

Sources: the RotateSecret operation of botocore's service model, and
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html
https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from rotatorctl.local.secrets_manager_secret import AWSCURRENT, AWSPENDING, Secret, Version, function_name

ROTATE_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TEST_STEPS = ("testSecret",)

type Invoke = Callable[[str, dict[str, str]], None]
type Clock = Callable[[], datetime]


class FunctionError(Exception):
    """Raised by `invoke` when the rotation function failed, timed out or could not be called."""


@dataclass(frozen=True)
class Silences:
    """What Secrets Manager does where its documentation does not say. No combination is known to be AWS's."""

    same_token_on_retry: bool = True
    """A retry keeps its ClientRequestToken. Otherwise it gets a new one, which takes AWSPENDING over."""

    same_rotation_token_on_retry: bool = False
    """A retry keeps its RotationToken. Otherwise it gets a new one, and the old one is refused."""

    retry_restores_pending: bool = False
    """A retry puts back an AWSPENDING that somebody removed. Otherwise the steps come without it."""

    cleans_up_pending: bool = True
    """After success AWSPENDING is removed. Otherwise it stays on the version with AWSCURRENT."""

    later_steps_after_promotion: bool = True
    """Once the version has AWSCURRENT, the remaining steps are still sent. Otherwise it has succeeded."""

    test_version_has_value: bool = True
    """With RotateImmediately=false the pending version has AWSCURRENT's value. Otherwise it is empty."""

    promotion_removes_pending: bool = False
    """UpdateSecretVersionStage moving AWSCURRENT to a version also takes AWSPENDING off it."""


SILENCES = {
    "defaults": Silences(),
    "new-token-on-retry": Silences(same_token_on_retry=False),
    "pending-stays-on-current": Silences(cleans_up_pending=False, test_version_has_value=False),
    "promotion-ends-it": Silences(later_steps_after_promotion=False, promotion_removes_pending=True),
    "retry-restores-pending": Silences(same_rotation_token_on_retry=True, retry_restores_pending=True),
}
"""Combinations for parametrised tests; together they show each behaviour both ways."""


@dataclass(frozen=True)
class Event:
    """What CloudTrail records: RotationStarted, RotationSucceeded, TestRotationFailed and so on."""

    name: str
    secret_arn: str
    version_id: str
    error: str | None = None


@dataclass(eq=False)
class Rotation:
    """One attempt: the steps sent, each with the function's error; its last event, or Cancelled."""

    secret: Secret = field(repr=False)
    token: str
    function_arn: str
    rotation_token: str = field(repr=False)
    plan: tuple[str, ...] = ROTATE_STEPS
    steps: list[tuple[str, str | None]] = field(default_factory=list)
    outcome: str | None = None
    error: str | None = None
    crash: Exception | None = field(default=None, repr=False)
    thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def is_test(self) -> bool:
        return self.plan == TEST_STEPS

    def wrote(self, version: Version) -> bool:
        """Whether the rotation function wrote this version itself, or vouched for it by the RotationToken."""
        writer = function_name(version.written_by or "")
        return version.vouched_for or writer == function_name(self.function_arn)


@dataclass(eq=False)
class Rotations:
    """All rotations of all secrets. `lock` guards the secrets too, and is free while a function runs."""

    lock: threading.RLock
    invoke: Invoke
    silences: Silences
    clock: Clock
    retry_after: float | None
    events: list[Event] = field(default_factory=list)
    by_secret: dict[str, list[Rotation]] = field(default_factory=dict)

    def start(self, secret: Secret, token: str) -> Rotation:
        """Register an empty AWSPENDING version and send the four steps."""
        self._register(secret, token)
        return self._launch(secret, token, ROTATE_STEPS, str(uuid.uuid4()))

    def start_test(self, secret: Secret, token: str) -> Rotation:
        """Send testSecret alone, with an AWSPENDING version that is gone afterwards."""
        self._register(secret, token)
        current = secret.versions.get(secret.labels.get(AWSCURRENT, ""))
        if self.silences.test_version_has_value and current:
            secret.versions[token].value = current.value
        return self._launch(secret, token, TEST_STEPS, str(uuid.uuid4()))

    def retry(self, secret: Secret) -> Rotation:
        """Send the whole sequence again for the last rotation, or for the version that has AWSPENDING."""
        last = self._last(secret)
        token = secret.pending_elsewhere() or (last.token if last else "")
        if not self.silences.same_token_on_retry:
            token = str(uuid.uuid4())
            self._register(secret, token)
        elif self.silences.retry_restores_pending:
            self._register(secret, token)
        keeps = self.silences.same_rotation_token_on_retry
        rotation_token = last.rotation_token if last and keeps else str(uuid.uuid4())
        return self._launch(secret, token, ROTATE_STEPS, rotation_token)

    def reattempt_stuck(self, secret: Secret) -> None:
        """Retry the rotation that stands in another's way, unless it is running."""
        last = self._last(secret)
        if secret.rotation_enabled and not (last and last.outcome is None):
            self.retry(secret)

    def last_failed(self, secret: Secret) -> bool:
        last = self._last(secret)
        return last is not None and last.outcome == "RotationFailed"

    def cancel(self, secret: Secret) -> None:
        """Send nothing more. Labels stay as they are."""
        for rotation in self._open(secret):
            rotation.outcome = "Cancelled"

    def accepts(self, secret: Secret, rotation_token: str) -> bool:
        """Whether this RotationToken is that of the rotation under way."""
        return any(rotation.rotation_token == rotation_token for rotation in self._open(secret))

    def version_written(self, secret: Secret, version_id: str) -> None:
        """Abandon the rotation under way if somebody else made a new version."""
        for rotation in self._open(secret):
            own = version_id == rotation.token or rotation.wrote(secret.versions[version_id])
            if not own and not rotation.is_test:
                secret.detach(AWSPENDING, rotation.token)
                self._end(rotation, "Abandoned")

    def wait(self, secret: Secret, timeout: float) -> Rotation | None:
        """Join the secret's rotations. Raises TimeoutError, or what `invoke` raised but FunctionError."""
        deadline = time.monotonic() + timeout
        ended = 0
        while len(rotations := self._all(secret)) > ended:
            rotation = rotations[ended]
            ended += 1
            assert rotation.thread is not None
            rotation.thread.join(max(0.0, deadline - time.monotonic()))
            if rotation.thread.is_alive():
                raise TimeoutError(f"the rotation of {secret.name} still runs after {timeout} s: {rotation}")
            if rotation.crash:
                raise rotation.crash
        return rotations[-1] if rotations else None

    def _all(self, secret: Secret) -> list[Rotation]:
        with self.lock:
            return list(self.by_secret.get(secret.arn, []))

    def _open(self, secret: Secret) -> list[Rotation]:
        """Every attempt that runs, and the last one if it failed and can be retried."""
        last = self._last(secret)
        to_be_retried = [last] if last and last.outcome == "RotationFailed" else []
        return [rotation for rotation in self._all(secret) if rotation.outcome is None] + to_be_retried

    def _last(self, secret: Secret) -> Rotation | None:
        return next(reversed(self._all(secret)), None)

    def _register(self, secret: Secret, token: str) -> None:
        secret.attach([AWSPENDING], token)
        secret.versions.setdefault(token, Version(self.clock()))

    def _launch(self, secret: Secret, token: str, plan: tuple[str, ...], rotation_token: str) -> Rotation:
        rotation = Rotation(secret, token, str(secret.function_arn), rotation_token, plan)
        self.by_secret.setdefault(secret.arn, []).append(rotation)
        self._tell(rotation, "Started")
        rotation.thread = threading.Thread(target=self._run, args=(rotation,), name=token, daemon=True)
        rotation.thread.start()
        return rotation

    def _run(self, rotation: Rotation) -> None:
        try:
            while step := self._next_step(rotation):
                self._record(rotation, step, self._call(rotation, step))
        except Exception as crash:  # not the function's error but the caller's own: wait() hands it on
            rotation.crash = crash
            with self.lock:
                if rotation.outcome is None:
                    self._end(rotation, "Failed", type(crash).__name__)

    def _next_step(self, rotation: Rotation) -> str | None:
        with self.lock:
            if rotation.outcome is not None:
                return None
            promoted = rotation.secret.is_current(rotation.token)
            stops_early = promoted and not self.silences.later_steps_after_promotion
            remaining = rotation.plan[len(rotation.steps) :]
            if remaining and not stops_early:
                return remaining[0]
            self._conclude(rotation)
            return None

    def _call(self, rotation: Rotation, step: str) -> str | None:
        try:
            self.invoke(
                rotation.function_arn,
                {
                    "Step": step,
                    "SecretId": rotation.secret.arn,
                    "ClientRequestToken": rotation.token,
                    "RotationToken": rotation.rotation_token,
                },
            )
        except FunctionError as error:
            return str(error) or type(error).__name__
        return None

    def _record(self, rotation: Rotation, step: str, error: str | None) -> None:
        with self.lock:
            rotation.steps.append((step, error))
            if rotation.outcome is not None:  # abandoned or cancelled while the function ran
                return
            if error is not None:
                self._end(
                    rotation,
                    "Failed",
                    f"Error when executing lambda {rotation.function_arn} during {step} step",
                )
            elif step == "createSecret" and not self._trusts_pending(rotation):
                self._end(rotation, "Failed", _not_created_by_function(rotation))

    def _trusts_pending(self, rotation: Rotation) -> bool:
        version = rotation.secret.versions.get(rotation.token)
        return version is None or version.value is None or rotation.wrote(version)

    def _conclude(self, rotation: Rotation) -> None:
        secret = rotation.secret
        if rotation.is_test:
            self._end(rotation, "Succeeded")
        elif not secret.is_current(rotation.token):
            # A success is described only as AWSCURRENT having moved; AWS publishes no message for this.
            self._end(rotation, "Failed", f"Version {rotation.token} has no AWSCURRENT after finishSecret")
        else:
            secret.last_rotated = self.clock()
            secret.schedule_next_rotation(secret.last_rotated)
            if self.silences.cleans_up_pending:
                secret.detach(AWSPENDING, rotation.token)
            self._end(rotation, "Succeeded")

    def _end(self, rotation: Rotation, how: str, error: str | None = None) -> None:
        if rotation.is_test:
            rotation.secret.detach(AWSPENDING, rotation.token)
            rotation.secret.versions.pop(rotation.token, None)
        rotation.error = error
        rotation.outcome = self._tell(rotation, how, error)
        if self.retry_after is not None and self.last_failed(rotation.secret):
            timer = threading.Timer(self.retry_after, self._retry_on_time, (rotation,))
            timer.daemon = True
            timer.start()

    def _retry_on_time(self, rotation: Rotation) -> None:
        with self.lock:
            if self._last(rotation.secret) is rotation and rotation.outcome == "RotationFailed":
                self.retry(rotation.secret)

    def _tell(self, rotation: Rotation, how: str, error: str | None = None) -> str:
        name = f"{'Test' if rotation.is_test else ''}Rotation{how}"
        self.events.append(Event(name, rotation.secret.arn, rotation.token, error))
        return name


def _not_created_by_function(rotation: Rotation) -> str:
    return (
        f"Pending secret version {rotation.token} for Secret {rotation.secret.arn} was not created by "
        f"Lambda {rotation.function_arn}. Remove the AWSPENDING staging label and restart rotation"
    )
