"""A fault that a deployed function really meets: it is throttled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient


def function_of(stacks: "CloudFormationClient", stack: str, step: str) -> str:
    """The name of the step's function."""
    resource = stacks.describe_stack_resource(StackName=stack, LogicalResourceId=f"{step}Function")
    return resource["StackResourceDetail"]["PhysicalResourceId"]


@contextmanager
def throttled(functions: "LambdaClient", name: str) -> Iterator[None]:
    """The function gets no concurrency, as on a day when another team uses up the account's.

    Lambda then refuses every call: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    """
    try:
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        yield
    finally:
        functions.delete_function_concurrency(FunctionName=name)
