"""Whether the policies of the secret, of its key and of the admin secret let the functions' roles do their work.

The roles' own policies are looked at in rotatorctl.checks.roles; an organization's policies are not.
"""

from collections.abc import Iterable, Iterator, Mapping

from rotation.errors import InvalidSecretError
from rotatorctl.checks.base import PROBLEM, WARNING, Check, Examined, Finding, Function
from rotatorctl.checks.editing import edited
from rotatorctl.checks.resource_policy import ALLOWED, DENIED, SILENT, UNCLEAR, Call, verdict
from rotatorctl.deployed import Described
from rotatorctl.result import CommandError

DESCRIBE, READ, WRITE, LABEL = (
    f"secretsmanager:{operation}"
    for operation in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
)
DECRYPT, ENCRYPT = "kms:Decrypt", "kms:GenerateDataKey"
# What each function does with a secret that the stack rotates, and with the admin secret (docs/permissions.md).
OWN = {
    "RotateFunction": (DESCRIBE,),
    "CreateSecretFunction": (DESCRIBE, READ, WRITE),
    "SetSecretFunction": (DESCRIBE, READ),
    "TestSecretFunction": (DESCRIBE, READ),
    "FinishSecretFunction": (DESCRIBE, LABEL),
    "RollBackFunction": (DESCRIBE, READ, LABEL),
}
ADMIN = {"SetSecretFunction": (DESCRIBE, READ), "RollBackFunction": (DESCRIBE, READ)}
# KMS is asked in the name of whoever calls Secrets Manager:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
OWN_KEY = {
    "CreateSecretFunction": (DECRYPT, ENCRYPT),
    "SetSecretFunction": (DECRYPT,),
    "TestSecretFunction": (DECRYPT,),
    "RollBackFunction": (DECRYPT,),
}
ADMIN_KEY = {"SetSecretFunction": (DECRYPT,), "RollBackFunction": (DECRYPT,)}
# What a call from outside every VPC does not have:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
_OF_A_VPC = frozenset({"aws:sourcevpc", "aws:sourcevpce", "aws:vpcsourceip"})

KEY_CODES = {DENIED: "KeyPolicyDenies", UNCLEAR: "KeyPolicyUnclear", SILENT: "KeyPolicyLacksRoles"}

_REFUSED = "'Access to KMS is not allowed'"
_STATEMENTS = "docs/permissions.md#customer-managed-kms-keys has the statements"
_KEY_WHY = {
    DENIED: f"{_REFUSED}: the command has the present policy edited, so except the roles of the stack from the deny",
    UNCLEAR: f"{_REFUSED}, if it does not; {_STATEMENTS}",
    SILENT: f"{_REFUSED}: the command has the present policy edited, so add what is missing; {_STATEMENTS}",
}

type Work = Mapping[str, tuple[str, ...]]


def of_caller(function: Function, region: str) -> dict[str, str]:
    """The condition keys that every call of a function's role has."""
    return {
        "aws:principalarn": function.role,
        "aws:principalaccount": function.role.split(":")[4],
        "aws:principaltype": "AssumedRole",
        "aws:requestedregion": region,
        "aws:securetransport": "true",
    }


def _secret_policy(examined: Examined) -> Iterator[Finding]:
    yield from _of_secret(examined, examined.secret, OWN)
    if admin := admin_of(examined):
        yield from _of_secret(examined, admin, ADMIN)


def _of_secret(examined: Examined, secret: Described, work: Work) -> Iterator[Finding]:
    answer = examined.stack.aws.secrets.get_resource_policy(SecretId=secret.arn)
    if not (policy := answer.get("ResourcePolicy")):
        return
    refused = _said(policy, _calls(examined, secret.arn, work))
    about = f"the resource policy of {secret.name}"
    for (said, statement), calls in refused.items():
        if said == DENIED:
            yield Finding(
                PROBLEM,
                "ResourcePolicyDenies",
                f"{about} denies {calls} by its statement {statement!r}",
                "an explicit deny overrides what the roles are allowed: the command has the present policy edited, so "
                "except the roles of the stack from the statement (ArnNotLike aws:PrincipalArn)",
                edited(
                    f"aws secretsmanager get-resource-policy --secret-id {secret.arn} --query ResourcePolicy",
                    f"aws secretsmanager put-resource-policy --secret-id {secret.arn} "
                    "--resource-policy file://policy.json --block-public-policy",
                ),
            )
        elif said == UNCLEAR:
            yield Finding(
                WARNING,
                "ResourcePolicyUnclear",
                f"whether {about} denies {calls} by its statement {statement!r} cannot be told from here",
                "it depends on what is known of a call only when it is made; a log-in test shows it",
                f"aws secretsmanager get-resource-policy --secret-id {secret.arn}",
            )


def _key_policy(examined: Examined) -> Iterator[Finding]:
    yield from _of_key(examined, examined.secret, OWN_KEY)
    if admin := admin_of(examined):
        yield from _of_key(examined, admin, ADMIN_KEY)


def _of_key(examined: Examined, secret: Described, work: Work) -> Iterator[Finding]:
    if not (key := secret.key):
        return
    client = examined.stack.aws.keys
    described = client.describe_key(KeyId=key)["KeyMetadata"]
    if described.get("KeyManager") == "AWS":
        return
    policy = client.get_key_policy(KeyId=described["KeyId"], PolicyName="default")["Policy"]
    for (said, statement), calls in _said(policy, _key_calls(examined, secret, described["Arn"], work)).items():
        says = {
            DENIED: f"denies {calls} by its statement {statement!r}",
            UNCLEAR: f"perhaps does not allow {calls}: that depends on its statement {statement!r}",
            SILENT: f"allows {calls} nowhere",
        }[said]
        of_key = f"-key-policy --key-id {described['KeyId']} --policy-name default"
        put = f"aws kms put{of_key} --policy file://policy.json"
        shows = f"aws kms get{of_key} --query Policy"
        yield Finding(
            WARNING if said == UNCLEAR else PROBLEM,
            KEY_CODES[said],
            f"the policy of the KMS key {key} of {secret.name} {says}",
            _KEY_WHY[said],
            f"{shows} --output text" if said == UNCLEAR else edited(shows, put),
        )


def admin_of(examined: Examined) -> Described | None:
    """None where there is none, or none to be read, which the checks value and admin secret say."""
    try:
        return examined.admin if examined.is_readable else None
    except (InvalidSecretError, CommandError):
        return None


def _calls(examined: Examined, resource: str, work: Work) -> Iterator[Call]:
    region = examined.stack.aws.region
    for name, actions in work.items():
        if (function := examined.functions.get(name)) and function.role:
            lacks = frozenset() if function.subnets else _OF_A_VPC
            keys = of_caller(function, region)
            yield from (Call(name, function.role, action, resource, keys, lacks) for action in actions)


def _key_calls(examined: Examined, secret: Described, key_arn: str, work: Work) -> Iterator[Call]:
    domain = "amazonaws.com.cn" if key_arn.split(":")[1] == "aws-cn" else "amazonaws.com"
    of_kms = {
        "kms:calleraccount": examined.account,
        "kms:viaservice": f"secretsmanager.{examined.stack.aws.region}.{domain}",
        "kms:encryptioncontext:secretarn": secret.arn,
    }
    for call in _calls(examined, key_arn, work):
        yield Call(call.function, call.role, call.action, call.resource, {**call.keys, **of_kms})


def _said(policy: str, calls: Iterable[Call]) -> dict[tuple[str, str], str]:
    """What the policy says of calls that it does not allow for certain: who is meant, by verdict and statement."""
    found: dict[tuple[str, str], list[str]] = {}
    for call in calls:
        says = verdict(policy, call)
        if says.said != ALLOWED:
            who = f"{call.function.removesuffix('Function')} {call.action}"
            found.setdefault((says.said, says.statement), []).append(who)
    return {key: ", ".join(names) for key, names in found.items()}


CHECKS = (
    Check("resource policy", "no resource policy denies it to the functions", _secret_policy),
    Check("key policy", "no key policy keeps the functions from it", _key_policy),
)
