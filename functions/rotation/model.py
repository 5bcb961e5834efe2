"""What a rotation is about: the request, the secret's value, the credentials in it."""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotation.errors import InvalidEventError, InvalidSecretError
from rotation.redaction import conceal

type Json = dict[str, Any]

AWSCURRENT, AWSPENDING, AWSPREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
ROTATE, TEST, ROLL_BACK = "Rotate", "Test", "RollBack"
STEPS = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret")

_HOST_NAME = re.compile(
    r"(?=.{1,253}\.?$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?"
)
_LARGEST_PORT = 65_535


@dataclass(frozen=True)
class Request:
    """What a state hands to its function: identifiers and verdicts, and for CreateSecret alone the RotationToken."""

    mode: str
    secret_id: str
    token: str
    attempt: int
    previous: Json
    execution: str
    completed: str
    current_version: str
    failure: Json
    retry_count: int
    rotation_token: str = field(repr=False)

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Request":
        """The request in a task's event. Raises InvalidEventError naming the key that is missing."""
        try:
            return cls(
                mode=event["Request"]["Mode"],
                secret_id=event["Request"]["SecretId"],
                token=event["Request"]["ClientRequestToken"],
                attempt=event["Request"]["Attempt"],
                previous=event["Request"]["Previous"],
                execution=event["Request"]["Execution"],
                completed=event["Completed"]["State"],
                current_version=event["Completed"]["CurrentVersionId"],
                failure=event.get("Failure", {}),
                retry_count=event.get("RetryCount", 0),
                rotation_token=event.get("RotationToken", ""),
            )
        except (KeyError, TypeError) as missing:
            raise InvalidEventError(f"the event is not one of the rotation state machine's: {missing}") from None

    @property
    def secret_name(self) -> str:
        return name_of(self.secret_id)


def name_of(secret_id: str) -> str:
    """A secret's name, without the six random characters that Secrets Manager adds to it in an ARN.

    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
    """
    resource = secret_id.rpartition(":secret:")[2]
    return re.sub(r"-[A-Za-z0-9]{6}$", "", resource) if resource != secret_id else secret_id


@dataclass(frozen=True)
class Credentials:
    """One user of one server. `ssl` False is the only way to a connection without TLS."""

    username: str
    password: str = field(repr=False)
    host: str = ""
    port: int = 0
    dbname: str = ""
    ssl: bool = True

    def __post_init__(self) -> None:
        conceal(self.password)

    def same_account(self, other: "Credentials") -> bool:
        """Whether both name the same user of the same server."""
        return (self.username, self.host, self.port) == (other.username, other.host, other.port)

    def __str__(self) -> str:
        return f"user {self.username!r} at {self.host}:{self.port}"


@dataclass(frozen=True)
class EngineTraits:
    """What can be said about an engine without loading its driver."""

    module: str
    default_port: int
    default_dbname: str = ""

    @property
    def has_server(self) -> bool:
        return self.default_port != 0


@dataclass(frozen=True)
class Secret:
    """A secret's value: a JSON object with at least a password, checked for what its engine needs."""

    fields: Json = field(repr=False)
    traits: EngineTraits

    @classmethod
    def parse(cls, value: str, tags: Mapping[str, str], engines: Mapping[str, EngineTraits]) -> "Secret":
        """The secret in the text `value`; raises InvalidSecretError naming the key or rule that is broken."""
        fields = _json_object(value)
        secret = cls(fields, _traits(fields, tags, engines))
        if "password" in fields and isinstance(fields["password"], str):
            conceal(fields["password"])
        secret.credentials  # noqa: B018  building them checks every key that the engine needs
        return secret

    @property
    def credentials(self) -> Credentials:
        password = _text(self.fields, "password")
        if not self.traits.has_server:
            return Credentials(str(self.fields.get("username", "")), password)
        return Credentials(
            username=_text(self.fields, "username"),
            password=password,
            host=_host(self.fields),
            port=_port(self.fields, self.traits.default_port),
            dbname=str(self.fields.get("dbname") or self.traits.default_dbname),
            ssl=_ssl(self.fields),
        )

    def with_password(self, password: str) -> str:
        """The value with another password; every other field survives as it is."""
        conceal(password)
        return json.dumps({**self.fields, "password": password}, ensure_ascii=False)


def _json_object(value: str) -> Json:
    try:
        fields = json.loads(value)
    except ValueError:
        raise InvalidSecretError(
            "the secret's value is not JSON; its engine needs a JSON object with the keys engine, host, username, password"
        ) from None
    if not isinstance(fields, dict):
        raise InvalidSecretError(
            'the secret\'s value is JSON but not an object; expected {"engine": ..., "password": ...}'
        )
    return fields


def _traits(fields: Json, tags: Mapping[str, str], engines: Mapping[str, EngineTraits]) -> EngineTraits:
    known = ", ".join(sorted(engines))
    name = tags.get("rotation:engine") or fields.get("engine")
    if not name:
        raise InvalidSecretError(
            'the secret names no engine: add the key "engine" to its JSON, or tag it with '
            f"aws secretsmanager tag-resource --secret-id <secret> --tags Key=rotation:engine,Value=<engine>; engines: {known}"
        )
    if not isinstance(name, str) or name not in engines:
        raise InvalidSecretError(f"unknown engine {name!r}; this rotator knows {known}")
    return engines[name]


def _text(fields: Json, key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidSecretError(f"the secret's JSON needs the key {key!r} with a text that is not empty")
    if "\0" in value:
        raise InvalidSecretError(f"the secret's key {key!r} contains a NUL character, which no server accepts")
    return value


def _host(fields: Json) -> str:
    host = _text(fields, "host")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise InvalidSecretError("the secret's key 'host' is neither a host name nor an IP address") from None
    return host


def _port(fields: Json, default: int) -> int:
    port = fields.get("port", default)
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= _LARGEST_PORT:
        raise InvalidSecretError("the secret's key 'port' is not a number from 1 to 65535")
    return port


def _ssl(fields: Json) -> bool:
    ssl = fields.get("ssl", True)
    if ssl is True or ssl == "true":
        return True
    if ssl is False or ssl == "false":
        return False
    raise InvalidSecretError("the secret's key 'ssl' must be true or false")
