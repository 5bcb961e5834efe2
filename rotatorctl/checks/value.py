"""The secret's value, read and never shown, and what it needs beside it."""

import re
import shlex
from collections.abc import Iterator

from rotation.errors import InvalidSecretError
from rotatorctl.checks.base import NOTE, PROBLEM, UNCHECKED, WAITS, WARNING, Check, Examined, Finding, day
from rotatorctl.checks.editing import VALUE_EDITED
from rotatorctl.checks.policies import admin_of
from rotatorctl.deployed import Described
from rotatorctl.result import CommandError

_TAG = re.compile(r"tag '(rotation:[^']+)'")
_NO_ENGINE = "the secret names no engine"


def _shape(examined: Examined) -> Iterator[Finding]:
    if not examined.is_readable:
        yield Finding(UNCHECKED, WAITS, "its value cannot be read", "see the checks deletion and labels")
        return
    try:
        value = examined.value
    except InvalidSecretError as error:
        yield _invalid(str(error), examined.secret.arn)
        return
    strategy = "alternating users" if value.alternates else "single user"
    about = f", {value.credentials}" if value.traits.has_server else ""
    yield Finding(
        NOTE, "Engine", f"engine {value.traits.module}, {strategy}{about}", "docs/engines.md says what it does"
    )
    if value.traits.has_server and not value.credentials.ssl:
        yield Finding(
            WARNING,
            "PlainConnection",
            'its JSON has "ssl": false',
            "passwords cross the network in clear text at every log-in, or nearly so",
            VALUE_EDITED.format(secret=examined.secret.arn),
        )


def _invalid(broken: str, arn: str) -> Finding:
    """By what is broken: the value, or a tag, which a message names in quotes."""
    why, command = "the rotation stops before anything changes", VALUE_EDITED.format(secret=arn)
    if tag := _TAG.search(broken):
        why += (
            "; the command takes the tag off, as if it had never been set; `aws secretsmanager tag-resource` gives it "
            "another value (docs/engines.md#tags); one that `onboard` was to set is left out of its options"
        )
        command = f"aws secretsmanager untag-resource --secret-id {arn} --tag-keys {shlex.quote(tag[1])}"
    elif _NO_ENGINE in broken:
        why += "; put the engine's name in place of ENGINE, or add the key to the JSON"
        command = f"aws secretsmanager tag-resource --secret-id {arn} --tags Key=rotation:engine,Value=ENGINE"
    return Finding(PROBLEM, "InvalidSecret", broken, why, command)


def _admin(examined: Examined) -> Iterator[Finding]:
    if not examined.is_readable:
        yield Finding(UNCHECKED, WAITS, "whether it names an admin secret", "see the check value")
        return
    try:
        if admin := examined.admin:
            yield from _admin_secret(examined, admin)
    except InvalidSecretError:
        yield Finding(UNCHECKED, WAITS, "whether it names an admin secret", "see the check value")
    except CommandError as error:
        yield Finding(PROBLEM, "AdminSecretNotFound", f"of 'masterarn': {error}", "nobody can log in as the admin")


def _admin_secret(examined: Examined, admin: Described) -> Iterator[Finding]:
    if admin.deleted:
        yield Finding(
            PROBLEM,
            "AdminSecretScheduledForDeletion",
            f"the admin secret {admin.name} is scheduled for deletion",
            "nobody can log in as the admin",
            f"aws secretsmanager restore-secret --secret-id {admin.arn}",
        )
    yield from _admin_rotation(admin)
    if admin.tags.get("rotation:admin") != examined.stack.name:
        yield Finding(
            PROBLEM,
            "AdminTagMissing",
            f"the admin secret {admin.name} has no tag rotation:admin={examined.stack.name}",
            "the stack may read it by that tag alone",
            f"aws secretsmanager tag-resource --secret-id {admin.arn} "
            f"--tags Key=rotation:admin,Value={examined.stack.name}",
        )


def _admin_rotation(admin: Described) -> Iterator[Finding]:
    if admin.rotation_enabled:
        by = admin.function_arn or f"the service {admin.answer.get('OwningService', 'that owns it')}"
        following = admin.answer.get("NextRotationDate")
        when = f", and next until {day(following)}" if following else ""
        yield Finding(
            NOTE,
            "AdminRotates",
            f"the admin secret {admin.name} is rotated, too, by {by}{when}",
            "while its password changes the admin may be refused for seconds, and a rotation that meets this is taken "
            "back and tried again: keep the two windows apart",
            f"aws secretsmanager describe-secret --secret-id {admin.arn} --query RotationRules",
        )


def _key(examined: Examined) -> Iterator[Finding]:
    yield from _key_of(examined, examined.secret)
    if admin := admin_of(examined):
        yield from _key_of(examined, admin)


def _key_of(examined: Examined, secret: Described) -> Iterator[Finding]:
    if not secret.key:
        return
    key, about = secret.key, f"the KMS key {secret.key} of {secret.name}"
    if key.startswith("arn:") and key.split(":")[4] != examined.account:
        yield Finding(
            PROBLEM,
            "KeyOfAnotherAccount",
            f"{about} belongs to another account",
            "the roles of the functions may use keys of this account alone (docs/permissions.md)",
            f"aws kms describe-key --key-id {key}",
        )
    described = examined.stack.aws.keys.describe_key(KeyId=key)["KeyMetadata"]
    if described["KeyState"] != "Enabled":
        # Neither operation takes an alias: https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKey.html
        id_ = described["KeyId"]
        # A key whose deletion is cancelled is disabled:
        # https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html
        first = f"aws kms cancel-key-deletion --key-id {id_} && " if described["KeyState"] == "PendingDeletion" else ""
        yield Finding(
            PROBLEM,
            "KeyNotEnabled",
            f"{about} is {described['KeyState']}",
            "nobody can read the secret: 'Access to KMS is not allowed'",
            f"{first}aws kms enable-key --key-id {id_}",
        )
    yield Finding(
        NOTE,
        "CustomerManagedKey",
        f"{secret.name} is encrypted with the KMS key {key}",
        "whoever reads the secret needs kms:Decrypt with it (docs/permissions.md#customer-managed-kms-keys)",
        f"aws kms describe-key --key-id {key}",
    )


CHECKS = (
    Check("value", "it has the shape that its engine needs", _shape),
    Check("admin secret", "it needs none, or the stack may read it", _admin),
    Check("key", "it is encrypted with the key aws/secretsmanager", _key),
)
