"""The roles of the functions that are deployed to the emulator, as they are there."""

from typing import TYPE_CHECKING

from rotatorctl.permissions import Role
from rotatorctl.roles import documents_of

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient


def deployed_roles(lambda_client: "LambdaClient", iam: "IAMClient") -> dict[str, Role]:
    """By the functions' names. Raises PolicyError."""
    functions = lambda_client.get_paginator("list_functions").paginate().search("Functions")
    names = {each["FunctionName"]: each["Role"].rpartition("/")[2] for each in functions}
    return {function: Role.of(name, documents_of(iam, name)) for function, name in names.items()}
