"""What an IAM role may do, as IAM keeps it: its inline policies and those that are attached."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient


def documents_of(iam: "IAMClient", role: str) -> Iterator[dict[str, Any]]:
    """The documents of the role's policies, by the role's name."""
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
