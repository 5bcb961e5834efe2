"""The only module that talks to RDS: the endpoint behind an admin secret that RDS manages, which holds no host."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import boto3

from rotation.aws import CONFIG, translated
from rotation.errors import InvalidSecretError, UnavailableError
from rotation.model import Json

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

# RDS tags the secrets that it manages with the instance or the cluster that they belong to:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html
_INSTANCE, _CLUSTER = "aws:rds:primarydbinstancearn", "aws:rds:primarydbclusterarn"


def endpoint(tags: Mapping[str, str]) -> Json:
    """The `host` and `port` of the instance, or of the cluster's writer, that the admin secret's tags name.

    Raises InvalidSecretError if they name none, or one that RDS does not know; AccessDeniedError, UnavailableError.
    """
    named = {key.lower(): value for key, value in tags.items()}
    if arn := named.get(_INSTANCE):
        return _instance(arn)
    if arn := named.get(_CLUSTER):
        return _cluster(arn)
    raise InvalidSecretError("it holds no 'host', and is none that RDS manages for an instance or cluster")


def _instance(arn: str) -> Json:
    with translated("rds:DescribeDBInstances", arn):
        try:
            [found] = _client().describe_db_instances(DBInstanceIdentifier=arn)["DBInstances"]
        except _client().exceptions.DBInstanceNotFoundFault:
            raise InvalidSecretError(f"it is managed for {arn}, which does not exist") from None
    if "Endpoint" not in found:
        raise UnavailableError(f"{arn} has no endpoint yet")
    return {"host": found["Endpoint"]["Address"], "port": found["Endpoint"]["Port"]}


def _cluster(arn: str) -> Json:
    with translated("rds:DescribeDBClusters", arn):
        try:
            [found] = _client().describe_db_clusters(DBClusterIdentifier=arn)["DBClusters"]
        except _client().exceptions.DBClusterNotFoundFault:
            raise InvalidSecretError(f"it is managed for {arn}, which does not exist") from None
    if "Endpoint" not in found:
        raise UnavailableError(f"{arn} has no endpoint yet")
    return {"host": found["Endpoint"], "port": found["Port"]}


@cache
def _client() -> "RDSClient":
    return boto3.client("rds", config=CONFIG)
