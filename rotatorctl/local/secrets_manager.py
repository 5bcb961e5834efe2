"""A model of AWS Secrets Manager in memory, faithful where rotation depends on it.

The operations are called as boto3's are (`model.get_secret_value(SecretId="app")`) and answer as those do,
except that a refusal is a SecretsManagerError. A ClientRequestToken left out is made up, as in an SDK.
Each operation takes `caller`, the name or ARN of the function that calls: only a pending version written by
the rotation function itself, or with its RotationToken, is trusted. A caller for which there is a role may do over HTTP
what that role allows; every other caller anything.

Rules come from botocore's service model of secretsmanager 2017-10-17 and from the User Guide; the tests name
the source of each. Not modelled: encryption, what resource policies mean, the making of replicas, the
schedule itself, quotas on requests and versions, pagination but of ListSecrets.
"""

import copy
import re
import secrets
import string
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rotatorctl.local.secrets_manager_access import refuse
from rotatorctl.local.secrets_manager_requests import (
    deletion_window,
    holds,
    invalid_parameter,
    invalid_request,
    passes_filter,
    refuse_label_move,
    rotation_rules_in,
    token_in,
    token_in_use,
    value_in,
)
from rotatorctl.local.secrets_manager_rotation import (
    SILENCES,
    Clock,
    Event,
    FunctionError,
    Invoke,
    Rotation,
    Rotations,
    Silences,
)
from rotatorctl.local.secrets_manager_secret import (
    AWSCURRENT,
    AWSPENDING,
    Answer,
    Secret,
    SecretsManagerError,
    Version,
    describe,
    list_versions,
    named,
    not_deleted,
    not_found,
)
from rotatorctl.permissions import Role

__all__ = [
    "SILENCES",
    "Event",
    "FunctionError",
    "Rotation",
    "SecretsManager",
    "SecretsManagerError",
    "Silences",
]


# The most that MaxResults of ListSecrets may ask for.
PAGE = 100


def _no_function(function_arn: str, event: dict[str, str]) -> None:
    raise FunctionError(f"{function_arn} does not exist, so {event['Step']} could not be sent")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(eq=False)
class SecretsManager:
    """One account's Secrets Manager in one region. Safe to share between threads.

    `invoke(function_arn, event)` calls the rotation function and raises FunctionError when that fails; it
    may be set later, when the function can be reached.
    `retry_after` is the number of seconds after which a failed rotation is retried; None waits for `retry`.
    `roles` are those of the callers that have one; they too may be set later.
    """

    invoke: Invoke = field(default=_no_function, repr=False)
    silences: Silences = SILENCES["defaults"]
    clock: Clock = _now
    region: str = "us-east-1"
    account: str = "123456789012"
    retry_after: float | None = None
    roles: Mapping[str, Role] = field(default_factory=dict, repr=False)
    _secrets: dict[str, Secret] = field(default_factory=dict, init=False, repr=False)
    _before: dict[str, Secret] = field(default_factory=dict, init=False, repr=False)
    _stale_left: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _stale_reads: int = field(default=0, init=False, repr=False)
    _aged: set[tuple[str, str | None]] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._rotations = Rotations(self._lock, self._call, self.silences, self.clock, self.retry_after)

    def _call(self, function_arn: str, event: dict[str, str]) -> None:
        self.invoke(function_arn, event)

    # What a test can see and do beyond the API

    @property
    def events(self) -> list[Event]:
        """The rotation events so far, as CloudTrail would record them."""
        with self._lock:
            return list(self._rotations.events)

    def rotations(self, secret_id: str) -> list[Rotation]:
        """Every attempt to rotate or test this secret, oldest first."""
        with self._lock:
            return list(self._rotations.by_secret.get(self._find(secret_id).arn, []))

    def wait(self, secret_id: str, timeout: float = 60.0) -> Rotation | None:
        """Wait for the secret's rotations and return the last one. TimeoutError after `timeout` seconds."""
        with self._lock:
            secret = self._find(secret_id)
        return self._rotations.wait(secret, timeout)

    def retry(self, secret_id: str) -> Rotation:
        """Send a failed rotation's steps all over again, as Secrets Manager does at a time of its own."""
        with self._lock:
            secret = self._usable(secret_id)
            if not self._rotations.last_failed(secret):
                raise LookupError(f"{secret.name} has no failed rotation to retry")
            return self._rotations.retry(secret)

    def stale_reads(self, n: int) -> None:
        """From now on the `n` reads that follow each write of a secret see its state before that write."""
        with self._lock:
            self._stale_reads = n

    def age_next_read(self, secret_id: str, caller: str) -> None:
        """The next read of this secret by this caller sees it as it was before its last write."""
        with self._lock:
            self._aged.add((self._find(secret_id).arn, caller))

    def set_replication(self, secret_id: str, region: str, status: str, message: str = "") -> None:
        """Let DescribeSecret report a replica as InSync, InProgress or Failed."""
        with self._lock:
            replica = {"Region": region, "Status": status, "StatusMessage": message}
            self._find(secret_id).replicas[region] = {k: v for k, v in replica.items() if v}

    def authorize(self, operation: str, caller: str | None, request: Answer) -> None:
        """AccessDeniedException if the caller has a role that does not allow this call."""
        if role := self.roles.get(caller or ""):
            with self._lock:
                refuse(role, operation, self._sought(request.get("SecretId", "")), request)

    # Secrets

    def create_secret(self, *, caller: str | None = None, **request: Any) -> Answer:
        """CreateSecret."""
        name, value = request["Name"], value_in(request)
        with self._lock:
            existing = next((s for s in self._secrets.values() if s.name == name), None)
            if existing:
                return self._create_again(existing, request, value)
            now, suffix = self.clock(), "".join(secrets.choice(string.ascii_letters) for _ in range(6))
            arn = f"arn:aws:secretsmanager:{self.region}:{self.account}:secret:{name}-{suffix}"
            secret = Secret(arn, name, now, now, request.get("Description"), request.get("KmsKeyId"))
            secret.tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
            answer = {"ARN": arn, "Name": name}
            if value is not None:
                answer["VersionId"] = token = token_in(request)
                secret.versions[token] = Version(now, value, caller)
                secret.attach([AWSCURRENT], token)
            self._secrets[arn] = secret
            return answer

    def describe_secret(self, *, caller: str | None = None, **request: Any) -> Answer:
        """DescribeSecret."""
        with self._lock:
            return describe(self._view(request["SecretId"], caller), self.region)

    def list_secrets(self, *, caller: str | None = None, **request: Any) -> Answer:
        """ListSecrets; the filters `name` and `tag-key`. Nothing may change between two pages."""
        with self._lock:
            listed = []
            for secret in self._secrets.values():
                hidden = secret.deleted and not request.get("IncludePlannedDeletion")
                if hidden or not all(passes_filter(secret, wanted) for wanted in request.get("Filters", [])):
                    continue
                entry = describe(secret, self.region)
                entry["SecretVersionsToStages"] = entry.pop("VersionIdsToStages", {})
                listed.append(entry)
        first = int(request.get("NextToken", 0))
        after = first + request.get("MaxResults", PAGE)
        return {"SecretList": listed[first:after]} | ({"NextToken": str(after)} if after < len(listed) else {})

    def tag_resource(self, *, caller: str | None = None, **request: Any) -> Answer:
        """TagResource."""
        with self._writing(request["SecretId"]) as secret:
            secret.tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
            return {}

    def untag_resource(self, *, caller: str | None = None, **request: Any) -> Answer:
        """UntagResource."""
        with self._writing(request["SecretId"]) as secret:
            secret.tags = {k: v for k, v in secret.tags.items() if k not in request["TagKeys"]}
            return {}

    def get_resource_policy(self, *, caller: str | None = None, **request: Any) -> Answer:
        """GetResourcePolicy."""
        with self._lock:
            secret = self._usable(request["SecretId"])
            return named(secret, **({"ResourcePolicy": secret.policy} if secret.policy else {}))

    def put_resource_policy(self, *, caller: str | None = None, **request: Any) -> Answer:
        """PutResourcePolicy: kept, and minded by nobody."""
        with self._writing(request["SecretId"]) as secret:
            secret.policy = request["ResourcePolicy"]
            return named(secret)

    def delete_secret(self, *, caller: str | None = None, **request: Any) -> Answer:
        """DeleteSecret. The end of the recovery window itself never comes."""
        window = deletion_window(request)
        with self._writing(request["SecretId"]) as secret:
            secret.deleted = self.clock() + window
            if not window:
                del self._secrets[secret.arn]
            return named(secret, DeletionDate=secret.deleted)

    def restore_secret(self, *, caller: str | None = None, **request: Any) -> Answer:
        """RestoreSecret."""
        with self._lock:
            secret = self._find(request["SecretId"])
            secret.deleted = None
            return named(secret)

    # Versions

    def get_secret_value(self, *, caller: str | None = None, **request: Any) -> Answer:
        """GetSecretValue."""
        with self._lock:
            secret = not_deleted(self._view(request["SecretId"], caller))
            version_id = secret.find_version(request.get("VersionId"), request.get("VersionStage"))
            version = secret.versions[version_id]
            kind = "SecretString" if isinstance(version.value, str) else "SecretBinary"
            answer = named(secret, VersionId=version_id, CreatedDate=version.created)
            return answer | {kind: version.value, "VersionStages": secret.stages_of(version_id)}

    def put_secret_value(self, *, caller: str | None = None, **request: Any) -> Answer:
        """PutSecretValue."""
        value = value_in(request)
        if value is None:
            raise invalid_parameter("You must provide either SecretString or SecretBinary.")
        with self._lock:
            secret = self._usable(request["SecretId"])
            vouched_for = self._vouches(secret, request.get("RotationToken"))
            token, stages = token_in(request), request.get("VersionStages") or [AWSCURRENT]
            if not holds(secret, token, value):
                version = Version(self.clock(), value, caller, vouched_for)
                self._write(secret, token, version, stages if secret.versions else [*stages, AWSCURRENT])
            return named(secret, VersionId=token, VersionStages=secret.stages_of(token))

    def update_secret(self, *, caller: str | None = None, **request: Any) -> Answer:
        """UpdateSecret."""
        value = value_in(request)
        with self._writing(request["SecretId"]) as secret:
            if value is None:
                answer = named(secret)
            else:
                token = token_in(request)
                if token in secret.versions:
                    raise token_in_use(secret, token)
                self._write(secret, token, Version(self.clock(), value, caller), [AWSCURRENT])
                answer = named(secret, VersionId=token)
            secret.description = request.get("Description", secret.description)
            secret.kms_key_id = request.get("KmsKeyId", secret.kms_key_id)
            return answer

    def update_secret_version_stage(self, *, caller: str | None = None, **request: Any) -> Answer:
        """UpdateSecretVersionStage."""
        label = request["VersionStage"]
        source, target = request.get("RemoveFromVersionId"), request.get("MoveToVersionId")
        with self._writing(request["SecretId"]) as secret:
            refuse_label_move(secret, label, source, target)
            if target is None:
                secret.detach(label, str(source))
                return named(secret)
            promotes = label == AWSCURRENT and not secret.is_current(target)
            secret.attach([label], target)
            if promotes and self.silences.promotion_removes_pending:
                secret.detach(AWSPENDING, target)
            return named(secret)

    def list_secret_version_ids(self, *, caller: str | None = None, **request: Any) -> Answer:
        """ListSecretVersionIds, all on one page."""
        with self._lock:
            secret = self._view(request["SecretId"], caller)
            return named(secret, Versions=list_versions(secret, request.get("IncludeDeprecated", False)))

    # Rotation

    def rotate_secret(self, *, caller: str | None = None, **request: Any) -> Answer:
        """RotateSecret: returns at once; `wait` waits for the end."""
        token, rules = token_in(request), rotation_rules_in(request)
        with self._lock:
            secret = self._usable(request["SecretId"])
            function_arn = request.get("RotationLambdaARN") or secret.function_arn
            if not function_arn:
                raise invalid_request("No Lambda rotation function ARN is associated with this secret.")
            if secret.pending_elsewhere():
                self._rotations.reattempt_stuck(secret)
                raise invalid_request(
                    "A previous rotation isn\N{RIGHT SINGLE QUOTATION MARK}t complete. "
                    "That rotation will be reattempted."
                )
            secret.configure_rotation(function_arn, rules, self.clock())
            immediately = request.get("RotateImmediately", True)
            (self._rotations.start if immediately else self._rotations.start_test)(secret, token)
            return named(secret, VersionId=token)

    def cancel_rotate_secret(self, *, caller: str | None = None, **request: Any) -> Answer:
        """CancelRotateSecret: turns rotation off; AWSPENDING may stay behind."""
        with self._writing(request["SecretId"]) as secret:
            secret.rotation_enabled, secret.next_rotation = False, None
            self._rotations.cancel(secret)
            pending = secret.pending_elsewhere()
            return named(secret, **({"VersionId": pending} if pending else {}))

    # What the operations share

    def _sought(self, secret_id: str) -> Secret | None:
        for secret in self._secrets.values():
            if secret_id in (secret.arn, secret.name, secret.arn.rpartition("-")[0]):
                return secret
        return None

    def _find(self, secret_id: str) -> Secret:
        if secret := self._sought(secret_id):
            return secret
        raise not_found("Secrets Manager can't find the specified secret.")

    def _usable(self, secret_id: str) -> Secret:
        return not_deleted(self._find(secret_id))

    def _view(self, secret_id: str, caller: str | None) -> Secret:
        """The secret as a read sees it: at times as it was before the last write."""
        secret = self._find(secret_id)
        if (secret.arn, caller) in self._aged:
            self._aged.remove((secret.arn, caller))
            return self._before.get(secret.arn, secret)
        if self._stale_left.get(secret.arn, 0) == 0:
            return secret
        self._stale_left[secret.arn] -= 1
        return self._before[secret.arn]

    @contextmanager
    def _writing(self, secret_id: str) -> Iterator[Secret]:
        with self._lock:
            secret = self._usable(secret_id)
            before = copy.deepcopy(secret)
            yield secret
            secret.last_changed = self.clock()
            self._before[secret.arn], self._stale_left[secret.arn] = before, self._stale_reads

    def _create_again(self, secret: Secret, request: Answer, value: str | bytes | None) -> Answer:
        token = request.get("ClientRequestToken", "")
        if secret.deleted or value is None or not holds(secret, token, value):
            code = "InvalidRequestException" if secret.deleted else "ResourceExistsException"
            raise SecretsManagerError(code, f"The secret {secret.name} already exists.")
        return named(secret, VersionId=token)

    def _write(self, secret: Secret, token: str, version: Version, stages: list[str]) -> None:
        with self._writing(secret.arn):
            secret.attach(stages, token)
            secret.versions[token] = version
            self._rotations.version_written(secret, token)
            if AWSCURRENT in stages:
                secret.schedule_next_rotation(version.created)

    def _vouches(self, secret: Secret, rotation_token: str | None) -> bool:
        """Whether the request carries the RotationToken of this secret's rotation; a wrong one is refused."""
        if rotation_token is None:
            return False
        if not re.fullmatch(r"[a-zA-Z0-9-]{36,256}", rotation_token):
            raise invalid_parameter("The RotationToken must be 36 to 256 letters, digits and hyphens.")
        if not self._rotations.accepts(secret, rotation_token):
            raise SecretsManagerError("AccessDeniedException", "This is not the rotation's RotationToken.")
        return True
