"""The roles of the functions that are deployed to the emulator, as they are there: inline and attached policies."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rotatorctl.permissions import Role

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient


def deployed_roles(lambda_client: "LambdaClient", iam: "IAMClient") -> dict[str, Role]:
    """By the functions' names. Raises PolicyError."""
    functions = lambda_client.get_paginator("list_functions").paginate().search("Functions")
    names = {each["FunctionName"]: each["Role"].rpartition("/")[2] for each in functions}
    return {function: Role.of(name, documents_of(iam, name)) for function, name in names.items()}


def documents_of(iam: "IAMClient", role: str) -> Iterator[dict[str, Any]]:
    """The role's policies."""
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield _document(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        yield _document(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _document(document: Any) -> dict[str, Any]:
    """AWS gives it as text; botocore reads that, but the stubs do not say so."""
    read: dict[str, Any] = json.loads(document) if isinstance(document, str) else dict(document)
    return read
