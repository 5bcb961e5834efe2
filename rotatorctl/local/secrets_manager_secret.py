"""One secret as Secrets Manager keeps it: versions, staging labels, settings; and the error of its API."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

AWSCURRENT, AWSPENDING, AWSPREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"

type Answer = dict[str, Any]

# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
MAX_LABELS = 20


class SecretsManagerError(Exception):
    """A refused request. `code` is what botocore reports, such as ResourceNotFoundException."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def not_found(message: str) -> SecretsManagerError:
    return SecretsManagerError("ResourceNotFoundException", message)


def function_name(name_or_arn: str) -> str:
    """The name in a Lambda function's ARN, without a qualifier; a plain name is returned as it is."""
    return name_or_arn.split(":")[6] if name_or_arn.startswith("arn:") else name_or_arn


@dataclass
class Version:
    """One version. Without a value it is registered by a rotation but not yet written.

    `written_by` names the caller of its PutSecretValue; `vouched_for`: it carried the RotationToken.
    """

    created: datetime
    value: str | bytes | None = field(default=None, repr=False)
    written_by: str | None = None
    vouched_for: bool = False


@dataclass
class Secret:
    """One secret. `labels` maps each staging label to the one version that has it."""

    arn: str
    name: str
    created: datetime
    last_changed: datetime
    description: str | None = None
    kms_key_id: str | None = None
    policy: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    replicas: dict[str, dict[str, str]] = field(default_factory=dict)
    rotation_enabled: bool | None = None
    function_arn: str | None = None
    rotation_rules: dict[str, Any] | None = None
    last_rotated: datetime | None = None
    next_rotation: datetime | None = None
    deleted: datetime | None = None

    def stages_of(self, version_id: str) -> list[str]:
        """The staging labels on a version, in the alphabet's order."""
        return sorted(label for label, holder in self.labels.items() if holder == version_id)

    def is_current(self, version_id: str) -> bool:
        return self.labels.get(AWSCURRENT) == version_id

    def pending_elsewhere(self) -> str | None:
        """The version with AWSPENDING, unless it is the one with AWSCURRENT too."""
        pending = self.labels.get(AWSPENDING)
        return None if pending is None or self.is_current(pending) else pending

    def attach(self, labels: list[str], version_id: str) -> None:
        """Put labels on a version; AWSPREVIOUS follows to the version that AWSCURRENT leaves."""
        if len(self.labels.keys() | set(labels)) > MAX_LABELS:
            raise SecretsManagerError("LimitExceededException", f"More than {MAX_LABELS} staging labels.")
        left = self.labels.get(AWSCURRENT)
        self.labels |= dict.fromkeys(labels, version_id)
        if AWSCURRENT in labels and left not in (None, version_id):
            self.labels[AWSPREVIOUS] = str(left)

    def detach(self, label: str, version_id: str) -> None:
        """Take a label off a version, if it is there."""
        if self.labels.get(label) == version_id:
            del self.labels[label]

    def find_version(self, version_id: str | None, stage: str | None) -> str:
        """The id of the version that both selectors name; it must have a value."""
        if version_id is None:
            stage = stage or AWSCURRENT
            version_id, sought = self.labels.get(stage, ""), f"staging label: {stage}"
        else:
            sought = f"VersionId: {version_id}"
        version = self.versions.get(version_id)
        if version is None or version.value is None:
            raise not_found(f"Secrets Manager can't find the specified secret value for {sought}")
        if stage is not None and self.labels.get(stage) != version_id:
            raise SecretsManagerError(
                "InvalidRequestException",
                "You provided a VersionStage that is not associated to the provided VersionId.",
            )
        return version_id

    def configure_rotation(self, function_arn: str, rules: dict[str, Any] | None, now: datetime) -> None:
        """Turn rotation on; without new rules the old ones stay."""
        self.rotation_enabled, self.function_arn, self.last_changed = True, function_arn, now
        self.rotation_rules = rules or self.rotation_rules
        self.schedule_next_rotation(now)

    def schedule_next_rotation(self, now: datetime) -> None:
        """Rules in days or with rate() count from `now`; a cron() date is not worked out."""
        interval = _interval(self.rotation_rules or {})
        self.next_rotation = now + interval if self.rotation_enabled and interval else None


def list_versions(secret: Secret, deprecated: bool) -> list[Answer]:
    """ListSecretVersionIds' entries: versions that have a value and a label, or on request no label."""
    listed = []
    for version_id, version in secret.versions.items():
        stages = secret.stages_of(version_id)
        if version.value is not None and (stages or deprecated):
            entry = {"VersionId": version_id, "CreatedDate": version.created}
            listed.append(entry | ({"VersionStages": stages} if stages else {}))
    return listed


def _interval(rules: dict[str, Any]) -> timedelta | None:
    if days := rules.get("AutomaticallyAfterDays"):
        return timedelta(days=days)
    rate = re.fullmatch(r"rate\((\d+) (hour|day)s?\)", rules.get("ScheduleExpression", ""))
    return timedelta(**{f"{rate[2]}s": int(rate[1])}) if rate else None


def named(secret: Secret, **rest: Any) -> Answer:
    """An answer, with the name and ARN that every answer has."""
    return {"ARN": secret.arn, "Name": secret.name} | rest


def not_deleted(secret: Secret) -> Secret:
    """The secret itself, refused while it is scheduled for deletion."""
    if secret.deleted:
        raise SecretsManagerError(
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
        )
    return secret


def describe(secret: Secret, region: str) -> Answer:
    """DescribeSecret's answer. Fields without a value are left out."""
    answer = named(
        secret,
        Description=secret.description,
        KmsKeyId=secret.kms_key_id,
        RotationEnabled=secret.rotation_enabled,
        RotationLambdaARN=secret.function_arn,
        RotationRules=secret.rotation_rules,
        LastRotatedDate=secret.last_rotated if secret.rotation_enabled else None,
        LastChangedDate=secret.last_changed,
        NextRotationDate=secret.next_rotation,
        DeletedDate=secret.deleted,
        CreatedDate=secret.created,
        Tags=[{"Key": key, "Value": value} for key, value in secret.tags.items()],
        VersionIdsToStages={holder: secret.stages_of(holder) for holder in secret.labels.values()},
        ReplicationStatus=list(secret.replicas.values()),
        PrimaryRegion=region if secret.replicas else None,
    )
    return {key: value for key, value in answer.items() if value not in (None, [], {})}
