"""What IAM sees of a call to Secrets Manager: the action, the secret, and the condition keys that the action has.

The keys of each action are those of the Service Authorization Reference, as far as the model has what they are about:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
"""

from collections.abc import Mapping
from typing import Any

from rotatorctl.local.secrets_manager_secret import Secret, SecretsManagerError
from rotatorctl.permissions import Context, Role

# The keys that hold a parameter of the request; all but ListSecrets have those of the secret, too.
_OF_THE_REQUEST = {
    "GetSecretValue": ("SecretId", "VersionId", "VersionStage"),
    "UpdateSecretVersionStage": ("SecretId", "VersionStage"),
    "ListSecrets": (),
}
_OF_ALL_OTHERS = ("SecretId",)


def refuse(role: Role, operation: str, secret: Secret | None, request: Mapping[str, Any]) -> None:
    """Raises AccessDeniedException unless the role may make this call.

    A secret that does not exist has no tags and no rotation function: a role that is confined by those is refused, and
    does not learn that there is none.
    """
    resource = secret.arn if secret else request.get("SecretId", "*")
    if why := role.refusal(f"secretsmanager:{operation}", resource, context(operation, secret, request)):
        raise SecretsManagerError("AccessDeniedException", why)


def context(operation: str, secret: Secret | None, request: Mapping[str, Any]) -> Context:
    """The condition keys of a call."""
    names = _OF_THE_REQUEST.get(operation, _OF_ALL_OTHERS)
    keys = {f"secretsmanager:{name}": request[name] for name in names if name in request}
    if secret is None or operation == "ListSecrets":
        return keys
    if secret.function_arn:
        keys["secretsmanager:resource/AllowRotationLambdaArn"] = secret.function_arn
    for key, value in secret.tags.items():
        keys |= {f"secretsmanager:ResourceTag/{key}": value, f"aws:ResourceTag/{key}": value}
    return keys
