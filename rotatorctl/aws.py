"""AWS as this tool calls it: clients by the ordinary credential chain, and their errors in sentences."""

import re
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.parsers import ResponseParserError

from rotatorctl.result import CommandError, Problem

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_stepfunctions import SFNClient

type AwsError = exceptions.ClientError | exceptions.BotoCoreError | ResponseParserError

AWS_ERRORS = (exceptions.ClientError, exceptions.BotoCoreError, ResponseParserError)
# Of these `explained` makes a problem; every other error is a defect of this tool.
EXPLAINED = (CommandError, *AWS_ERRORS)
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 6},
    max_pool_connections=50,
    user_agent_extra="rotatorctl",
)

_LOG_IN_AGAIN = "log in to AWS again, for example by `aws sso login`, and repeat the command"
_CREDENTIALS = "set AWS_PROFILE, or log in by `aws configure sso` or `aws configure`; --profile takes a name"
_ALLOW = "let your user or role do that; docs/cli.md#permissions lists what each command needs"
_CODES = {
    "AccessDeniedException": ("AccessDeniedError", _ALLOW),
    "AccessDenied": ("AccessDeniedError", _ALLOW),
    "UnauthorizedOperation": ("AccessDeniedError", _ALLOW),
    "AuthorizationError": ("AccessDeniedError", _ALLOW),
    "AuthorizationErrorException": ("AccessDeniedError", _ALLOW),
    "ExpiredToken": ("CredentialsError", _LOG_IN_AGAIN),
    "ExpiredTokenException": ("CredentialsError", _LOG_IN_AGAIN),
    "InvalidClientTokenId": ("CredentialsError", _LOG_IN_AGAIN),
    "UnrecognizedClientException": ("CredentialsError", _LOG_IN_AGAIN),
    "InvalidSignatureException": ("CredentialsError", _LOG_IN_AGAIN),
    "SignatureDoesNotMatch": ("CredentialsError", _LOG_IN_AGAIN),
    "AuthFailure": ("CredentialsError", _LOG_IN_AGAIN),
}
_REGION = "say which Region, as eu-central-1: --region, AWS_REGION, or the profile's region"
_REACH = "see that this machine reaches AWS, and that AWS_ENDPOINT_URL, if it is set, names a server that runs"
_ENDPOINT = "give AWS_ENDPOINT_URL, or the one of this service, as http://HOST:PORT or https://HOST, or unset it"
_LATER = "repeat the command in a minute"
_MEND = "mend what the message names, and repeat the command"
# Of all that AWS calls throttling: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_TOO_MANY = re.compile("Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|BandwidthLimitExceeded|PriorRequest")
_FAULT_OF_AWS = 500
_KINDS: tuple[tuple[type[Exception], str, str], ...] = (
    (exceptions.NoRegionError, "RegionError", _REGION),
    (exceptions.InvalidRegionError, "RegionError", _REGION),
    (exceptions.NoCredentialsError, "CredentialsError", _CREDENTIALS),
    (exceptions.ProfileNotFound, "CredentialsError", _CREDENTIALS),
    (exceptions.PartialCredentialsError, "CredentialsError", _CREDENTIALS),
    (exceptions.TokenRetrievalError, "CredentialsError", _LOG_IN_AGAIN),
    (exceptions.UnauthorizedSSOTokenError, "CredentialsError", _LOG_IN_AGAIN),
    (exceptions.SSOTokenLoadError, "CredentialsError", _LOG_IN_AGAIN),
    (exceptions.ConnectionError, "UnavailableError", _REACH),
    (exceptions.HTTPClientError, "UnavailableError", _REACH),
)


class Aws:
    """One client for each service, made when it is first needed."""

    def __init__(self, region: str | None = None, profile: str | None = None) -> None:
        self._session = boto3.Session(region_name=region, profile_name=profile)
        # A session makes clients for one thread at a time.
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        return self.secrets.meta.region_name

    @property
    def has_console(self) -> bool:
        """Whether executions are asked for at AWS, whose console shows them, and not at an endpoint of one's own.

        AWS's domains are those in the model `partitions` of botocore.
        """
        partitions = [each["outputs"] for each in create_loader().load_data("partitions")["partitions"]]
        domains = tuple(f".{each[key]}" for each in partitions for key in ("dnsSuffix", "dualStackDnsSuffix"))
        return (urlsplit(self.machine.meta.endpoint_url).hostname or "").endswith(domains)

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        client: SecretsManagerClient = self._client("secretsmanager")
        return client

    @cached_property
    def machine(self) -> "SFNClient":
        client: SFNClient = self._client("stepfunctions")
        return client

    @cached_property
    def stacks(self) -> "CloudFormationClient":
        client: CloudFormationClient = self._client("cloudformation")
        return client

    @cached_property
    def functions(self) -> "LambdaClient":
        client: LambdaClient = self._client("lambda")
        return client

    @cached_property
    def topics(self) -> "SNSClient":
        client: SNSClient = self._client("sns")
        return client

    @cached_property
    def databases(self) -> "RDSClient":
        client: RDSClient = self._client("rds")
        return client

    @cached_property
    def keys(self) -> Any:
        return self._client("kms")

    @cached_property
    def roles(self) -> Any:
        return self._client("iam")

    @cached_property
    def networks(self) -> Any:
        return self._client("ec2")

    @cached_property
    def schedules(self) -> Any:
        return self._client("scheduler")

    def _client(self, service: Any) -> Any:
        """Raises CommandError if the environment names an address for it that is none."""
        with self._lock:
            try:
                client = self._session.client(service, config=_CONFIG)
                # Of a port that is no number only the first call would complain.
                _ = urlsplit(client.meta.endpoint_url).port
            except exceptions.BotoCoreError:
                raise
            except ValueError as error:
                raise CommandError("UnavailableError", f"{service} has no address: {error}", _ENDPOINT) from None
            return client


def explained(error: AwsError | CommandError) -> Problem:
    """An error as a sentence with a next step: this tool's own, or that of a call to AWS."""
    if isinstance(error, CommandError):
        return error.problem
    if isinstance(error, ResponseParserError) or _is_a_page(error):
        # Its text is all that was answered.
        return Problem("UnavailableError", "what answers at the address of a service is not AWS", _REACH)
    if isinstance(error, exceptions.ClientError):
        answer = error.response["Error"]
        code, next_step = _CODES.get(answer["Code"], ("AwsError", _LATER if _passes(error) else _MEND))
        return Problem(code, f"{error.operation_name}: {answer['Code']}: {answer.get('Message', '')}", next_step)
    for kind, code, next_step in _KINDS:
        if isinstance(error, kind):
            return Problem(code, str(error), next_step)
    return Problem("AwsError", str(error), _MEND)


def _is_a_page(error: AwsError) -> bool:
    """Of a web server's page botocore makes an error whose message is the page."""
    told = error.response["Error"].get("Message", "") if isinstance(error, exceptions.ClientError) else ""
    return told.lstrip()[:1] == "<"


def _passes(error: exceptions.ClientError) -> bool:
    """Whether the same call may succeed later: AWS had too many, or a fault of its own."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= _FAULT_OF_AWS or bool(_TOO_MANY.search(error.response["Error"]["Code"]))
