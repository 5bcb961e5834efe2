"""What Secrets Manager says of the secret itself."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rotation.model import AWSCURRENT, AWSPENDING, AWSPREVIOUS
from rotation.secret_store import RotatedSecret
from rotation.standing import Standing
from rotatorctl.checks.base import NOTE, PROBLEM, UNCHECKED, WAITS, WARNING, Check, Examined, Finding, day
from rotatorctl.checks.editing import VALUE_WRITTEN
from rotatorctl.deployed import Described
from rotatorctl.following import turn_on
from rotatorctl.result import Json

_LABELS = {AWSCURRENT, AWSPENDING, AWSPREVIOUS}
_MANAGED = "https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_managed.html"


def _deletion(examined: Examined) -> Iterator[Finding]:
    secret = examined.secret
    if secret.deleted:
        yield Finding(
            PROBLEM,
            "ScheduledForDeletion",
            f"it was marked for deletion; Secrets Manager deletes it after {day(secret.answer['DeletedDate'])}",
            "nobody can read it now, and it is not rotated",
            f"aws secretsmanager restore-secret --secret-id {secret.arn}",
        )


def _owner(examined: Examined) -> Iterator[Finding]:
    if service := examined.secret.answer.get("OwningService"):
        yield Finding(
            PROBLEM,
            "ManagedByService",
            f"the AWS service {service!r} owns this secret",
            f"that service rotates it by itself and lets no function do it: {_MANAGED}",
            f"aws secretsmanager describe-secret --secret-id {examined.secret.arn}",
        )
    if made := examined.secret.tags.get("aws:cloudformation:stack-name"):
        yield Finding(
            WARNING,
            "MadeByCloudFormation",
            f"the CloudFormation stack {made!r} made this secret",
            "an update of that stack that sets SecretString, GenerateSecretString or a RotationSchedule writes a value "
            "or a function of its own over what rotation has done",
            f"aws cloudformation get-template --stack-name {made}",
        )


def _regions(examined: Examined) -> Iterator[Finding]:
    secret, region = examined.secret, examined.stack.aws.region
    primary = secret.answer.get("PrimaryRegion", region)
    if primary != region:
        yield Finding(
            PROBLEM,
            "ReplicaSecret",
            f"this is a replica; the secret itself is in {primary}",
            "a replica cannot be rotated, it follows its primary",
            f"rotatorctl doctor {secret.name} --region {primary}",
        )
    for replica in secret.answer.get("ReplicationStatus", []):
        if replica["Status"] != "InSync":
            yield (_failed if replica["Status"] == "Failed" else _copied)(secret, replica)


def _failed(secret: Described, replica: Json) -> Finding:
    """Made without a key, a replica is encrypted with aws/secretsmanager instead of its own:
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicaRegionType.html
    """
    region, message = replica["Region"], replica.get("StatusMessage", "")
    key = f",KmsKeyId={replica['KmsKeyId']}" if replica.get("KmsKeyId") else ""
    choice = ""
    if "already exists" in message:
        choice = (
            "; a secret of that name is there: delete that one first, or let it be overwritten by "
            "--force-overwrite-replica-secret at the end of the command"
        )
    return Finding(
        PROBLEM,
        "ReplicaFailed",
        f"the replica in {region} is Failed {message}".strip(),
        f"applications there read an older value, or none; the command deletes the replica and makes it again{choice}",
        f"aws secretsmanager remove-regions-from-replication --secret-id {secret.arn} "
        f"--remove-replica-regions {region} && aws secretsmanager replicate-secret-to-regions "
        f"--secret-id {secret.arn} --add-replica-regions Region={region}{key}",
    )


def _copied(secret: Described, replica: Json) -> Finding:
    return Finding(
        WARNING,
        f"Replica{replica['Status']}",
        f"the replica in {replica['Region']} is {replica['Status']} {replica.get('StatusMessage', '')}".strip(),
        "applications there read an older value until it is copied, and a rotation waits for that: it passes by itself",
        f"aws secretsmanager describe-secret --secret-id {secret.arn} --query ReplicationStatus",
    )


def _versions(examined: Examined) -> Iterator[Finding]:
    secret = examined.secret
    placed = [f"{label} is on {_holder(secret, label)}" for label in (AWSCURRENT, AWSPREVIOUS, AWSPENDING)]
    yield Finding(
        NOTE,
        "Labels",
        ", ".join(placed),
        "a rotation gives AWSPENDING to the new version, and moves AWSCURRENT to it once it was proven to log in",
        f"aws secretsmanager describe-secret --secret-id {secret.arn} --query VersionIdsToStages",
    )


def _holder(secret: Described, label: str) -> str:
    return next((f"version {version}" for version, stages in secret.stages.items() if label in stages), "none")


def _labels(examined: Examined) -> Iterator[Finding]:
    secret = examined.secret
    if not secret.current:
        yield Finding(
            PROBLEM,
            "NoCurrentVersion",
            "no version is labelled AWSCURRENT: the secret has no value",
            "there is nothing to read and nothing to rotate; docs/engines.md#the-secrets-json has the keys of a value",
            VALUE_WRITTEN.format(secret=secret.arn),
        )
    for version, stages in secret.stages.items():
        for label in sorted(set(stages) - _LABELS):
            yield Finding(
                NOTE,
                "CustomLabel",
                f"version {version} carries the label {label!r} of your own",
                "a rotation neither moves nor minds it: whoever reads by it keeps an old value, which stops working",
                f"aws secretsmanager list-secret-version-ids --secret-id {secret.arn} --include-deprecated",
            )


def _rotation(examined: Examined) -> Iterator[Finding]:
    secret = examined.secret
    if secret.function_arn and not examined.is_ours:
        yield Finding(
            PROBLEM,
            "AnotherFunction",
            f"its rotation function is {secret.function_arn}, not this stack's",
            "a secret has one function: this stack does not rotate it, and may not read it",
            turn_on(secret),
        )
    elif not secret.function_arn:
        yield Finding(
            UNCHECKED,
            "NotUnderRotation",
            "it has no rotation function yet",
            "the command turns rotation on once the functions have logged in, and rotates nothing",
            turn_on(secret),
        )
    elif not secret.rotation_enabled:
        yield Finding(
            PROBLEM,
            "RotationTurnedOff",
            "its rotation is turned off",
            "nobody rotates it, and nothing tells when it is overdue",
            turn_on(secret),
        )


def _schedule(examined: Examined) -> Iterator[Finding]:
    secret = examined.secret
    if not secret.rotation_enabled:
        yield Finding(UNCHECKED, WAITS, "it has no schedule while rotation is not on", "see the check rotation")
        return
    standing = Standing(RotatedSecret.of(secret.as_listed), datetime.now(UTC).date())
    if standing.overdue:
        yield Finding(
            PROBLEM,
            "Overdue",
            f"it was due on {standing.due}, {standing.overdue} days ago; its value is {standing.age} days old",
            "no rotation has succeeded in time (docs/failures.md#overdue)",
            f"rotatorctl rotate {secret.name}",
        )
    if not secret.answer.get("RotationRules"):
        yield _unscheduled(secret)


def _unscheduled(secret: Described) -> Finding:
    """RotateSecret has a rotation that is pending reattempted, whatever else it was asked."""
    why = "it is rotated only when somebody asks for it"
    command = (
        f"aws secretsmanager rotate-secret --secret-id {secret.arn} --rotation-rules AutomaticallyAfterDays=30 "
        "--no-rotate-immediately"
    )
    if secret.pending:
        why, command = f"{why}; before it can be given one, see the check pending", ""
    return Finding(WARNING, "NoSchedule", "it has a rotation function but no schedule", why, command)


CHECKS = (
    Check("deletion", "it is not scheduled for deletion", _deletion),
    Check("owner", "no AWS service and no CloudFormation stack owns it", _owner),
    Check("regions", "it is the primary, and all its replicas are in sync", _regions),
    Check("labels", "AWSCURRENT is there, and there is no label of your own", _labels),
    Check("versions", "", _versions),
    Check("rotation", "this stack rotates it", _rotation),
    Check("schedule", "it is not overdue by its schedule", _schedule),
)
