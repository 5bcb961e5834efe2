"""A fault that a step of the deployed state machine really meets: its function is throttled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient


@contextmanager
def throttled(stacks: "CloudFormationClient", functions: "LambdaClient", stack: str, step: str) -> Iterator[None]:
    """The step's function gets no concurrency, as on a day when another team uses up the account's.

    Lambda then refuses every call: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    """
    resource = stacks.describe_stack_resource(StackName=stack, LogicalResourceId=f"{step}Function")
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    try:
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        yield
    finally:
        functions.delete_function_concurrency(FunctionName=name)
