"""What a request to Secrets Manager may say: its parameters, read and checked."""

import uuid
from datetime import timedelta
from typing import Any

from rotatorctl.local.secrets_manager_secret import AWSCURRENT, Secret, SecretsManagerError, not_found

type Request = dict[str, Any]

MAX_VALUE_BYTES = 65_536
TOKEN_LENGTHS = range(32, 65)
RECOVERY_DAYS = range(7, 31)


def invalid_parameter(message: str) -> SecretsManagerError:
    return SecretsManagerError("InvalidParameterException", message)


def invalid_request(message: str) -> SecretsManagerError:
    return SecretsManagerError("InvalidRequestException", message)


def token_in_use(secret: Secret, token: str) -> SecretsManagerError:
    return SecretsManagerError(
        "ResourceExistsException",
        f"You can't use ClientRequestToken {token} because that value is already in use for a version of "
        f"secret {secret.arn}.",
    )


def token_in(request: Request) -> str:
    """The ClientRequestToken, or a new one, as an SDK makes it."""
    token: str = request.get("ClientRequestToken") or str(uuid.uuid4())
    if len(token) not in TOKEN_LENGTHS:
        raise invalid_parameter("The ClientRequestToken must be 32 to 64 characters long.")
    return token


def value_in(request: Request) -> str | bytes | None:
    """The SecretString or the SecretBinary, or None if the request has neither."""
    text, binary = request.get("SecretString"), request.get("SecretBinary")
    if text is not None and binary is not None:
        raise invalid_parameter("You can't specify both a binary secret value and a string secret value.")
    value: str | bytes | None = binary if text is None else text
    if value is not None:
        size = len(value.encode() if isinstance(value, str) else value)
        if not 1 <= size <= MAX_VALUE_BYTES:
            raise invalid_parameter(f"The secret value must be 1 to {MAX_VALUE_BYTES} bytes long.")
    return value


def holds(secret: Secret, token: str, value: str | bytes) -> bool:
    """Whether the version exists and has this value already; refused if it has another."""
    version = secret.versions.get(token)
    if version is None or version.value is None:
        return False
    if version.value != value:
        raise token_in_use(secret, token)
    return True


def refuse_label_move(secret: Secret, label: str, source: str | None, target: str | None) -> None:
    """Refuse an UpdateSecretVersionStage whose version ids do not fit the labels."""
    holder = secret.labels.get(label)
    if source is None and holder not in (None, target):
        raise invalid_parameter(
            f"The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached "
            f"to version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
        )
    if source not in (None, holder):
        raise invalid_parameter(
            f"If you specify RemoveFromVersionId, it must be the version that has staging label {label}."
        )
    if target is None:
        _refuse_removal(label, source)
    elif target not in secret.versions or (label == AWSCURRENT and secret.versions[target].value is None):
        raise not_found(f"There is no version {target}.")


def _refuse_removal(label: str, source: str | None) -> None:
    if source is None:
        raise invalid_parameter("You must specify MoveToVersionId or RemoveFromVersionId.")
    if label == AWSCURRENT:
        raise invalid_parameter("AWSCURRENT can only be moved to another version. It can't be removed.")


def deletion_window(request: Request) -> timedelta:
    """How long a deleted secret can be restored; zero if it is deleted at once."""
    force, days = request.get("ForceDeleteWithoutRecovery", False), request.get("RecoveryWindowInDays")
    if force and days is not None:
        raise invalid_parameter("You can't use ForceDeleteWithoutRecovery with RecoveryWindowInDays.")
    if days is not None and days not in RECOVERY_DAYS:
        raise invalid_parameter("RecoveryWindowInDays must be 7 to 30 days.")
    return timedelta(days=0 if force else days or 30)


def rotation_rules_in(request: Request) -> Request | None:
    """The RotationRules; a schedule is either in days or an expression."""
    rules: Request | None = request.get("RotationRules")
    if rules and "AutomaticallyAfterDays" in rules and "ScheduleExpression" in rules:
        raise invalid_parameter("Specify either AutomaticallyAfterDays or ScheduleExpression, not both.")
    return rules


def passes_filter(secret: Secret, wanted: Request) -> bool:
    """Whether a secret passes one of ListSecrets' filters: a prefix of its name, or of a tag's key."""
    match wanted["Key"]:
        case "name":
            texts = [secret.name]
        case "tag-key":
            texts = list(secret.tags)
        case other:
            raise invalid_parameter(f"This model has no filter {other}, only name and tag-key.")
    return any(text.startswith(prefix) for text in texts for prefix in wanted["Values"])
