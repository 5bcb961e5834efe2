"""Whose role each call to AWS is made with: that of the function which is running, else the state machine's.

Secrets Manager is told the function's name and decides itself; for every other service it is decided here. What tests
call themselves is a person's and not confined.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

import botocore.client
from botocore.exceptions import ClientError

from rotatorctl.permissions import Role

MACHINE = "the state machine"
# The access key that moto's interpreter of the state machine calls other services with.
_ITS_KEY = "ak"
# What each call is to IAM: the action, and the parameter that names the resource.
_CALLS = {
    ("stepfunctions", "StartExecution"): ("states:StartExecution", "stateMachineArn"),
    ("stepfunctions", "DescribeExecution"): ("states:DescribeExecution", "executionArn"),
    ("stepfunctions", "GetExecutionHistory"): ("states:GetExecutionHistory", "executionArn"),
    ("lambda", "Invoke"): ("lambda:InvokeFunction", "FunctionName"),
    ("sns", "Publish"): ("sns:Publish", "TopicArn"),
    ("rds", "DescribeDBInstances"): ("rds:DescribeDBInstances", "DBInstanceIdentifier"),
    ("rds", "DescribeDBClusters"): ("rds:DescribeDBClusters", "DBClusterIdentifier"),
}
# SNS has a name of its own for a refusal: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_REFUSALS = {"sns": "AuthorizationError"}

_running: ContextVar[str] = ContextVar("running", default="")


def acting_as(caller: str, handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler, with the name of the function whose role its calls are made with."""

    def acting(event: Any, context: Any) -> Any:
        before = _running.set(caller)
        try:
            return handler(event, context)
        finally:
            _running.reset(before)

    return acting


def say_who_calls(request: Any, **_: Any) -> None:
    """For botocore's event before-send: what AWS_SDK_UA_APP_ID does in a process that is one function's alone."""
    if caller := _running.get():
        request.headers["User-Agent"] = f"app/{caller}"


@contextmanager
def confined(roles: Mapping[str, Role]) -> Iterator[None]:
    """In the block no caller does what its role does not allow. `roles` may change meanwhile."""
    call = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def checked(client: Any, operation: str, arguments: Mapping[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        caller = MACHINE if client._request_signer._credentials.access_key == _ITS_KEY else _running.get()
        if caller and service != "secretsmanager":
            action, parameter = _CALLS[service, operation]
            if why := roles[caller].refusal(action, arguments[parameter], {}):
                raise _refused(service, operation, why)
        return call(client, operation, arguments)

    with patch.object(botocore.client.BaseClient, "_make_api_call", checked):
        yield


def _refused(service: str, operation: str, why: str) -> ClientError:
    error: Any = {"Error": {"Code": _REFUSALS.get(service, "AccessDeniedException"), "Message": why}}
    error["ResponseMetadata"] = {"HTTPStatusCode": 403, "RequestId": "none"}
    return ClientError(error, operation)
