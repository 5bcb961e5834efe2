"""What a rotation is about: the request, and credentials of one user."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotation.errors import InvalidEventError
from rotation.redaction import conceal, redacted

type Json = dict[str, Any]

AWSCURRENT, AWSPENDING, AWSPREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
ROTATE, TEST, ROLL_BACK = "Rotate", "Test", "RollBack"
STEPS = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret")


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
    # When the execution started, and what CreateSecret found the secret to be.
    started: str
    kind: Json

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Request":
        """The request in a task's event. Raises InvalidEventError naming the key that is missing or of another kind."""
        request, completed = _found(event, "Request", dict), _found(event, "Completed", dict)
        return cls(
            mode=_found(request, "Mode", str),
            secret_id=_found(request, "SecretId", str),
            token=_found(request, "ClientRequestToken", str),
            attempt=_found(request, "Attempt", int),
            previous=_previous(_found(request, "Previous", dict)),
            execution=_found(request, "Execution", str),
            completed=_found(completed, "State", str),
            current_version=_found(completed, "CurrentVersionId", str),
            failure=_failure(_found(event, "Failure", dict, {})),
            retry_count=_found(event, "RetryCount", int, 0),
            rotation_token=_found(event, "RotationToken", str, ""),
            # Absent in executions that began before the stack was upgraded.
            started=_found(request, "Started", str, ""),
            kind={key: _found(completed, key, str, "unknown") for key in ("Engine", "Strategy")},
        )

    @property
    def secret_name(self) -> str:
        return name_of(self.secret_id)

    @property
    def begun_before(self) -> bool:
        return begun_before(self.previous, self.attempt)


def begun_before(previous: Json, attempt: int) -> bool:
    """Whether a SetSecret of an earlier attempt had begun; nobody knows in one from before the stack was upgraded."""
    return bool(previous.get("Begun", attempt > 1))


def _found[Kind](part: object, key: str, kind: type[Kind], *absent: Kind) -> Kind:
    value = part.get(key, *absent) if isinstance(part, Mapping) else None
    if not isinstance(value, kind):
        raise InvalidEventError(f"the event is not one of the rotation state machine's: it needs the key {key!r}")
    return value


def _previous(previous: Json) -> Json:
    _found(previous, "Told", bool)
    _found(previous, "RolledBack", int)
    _found(previous, "Alert", dict, {})
    return previous


def _failure(failure: Json) -> Json:
    for key in ("Error", "Cause") if failure else ():
        _found(failure, key, str)
    return failure


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
    replica_set: str = ""
    # Where the server keeps its users by database (MongoDB): the same name in two of them is two users.
    realm: str = ""

    def __post_init__(self) -> None:
        conceal(self.password)

    def same_account(self, other: "Credentials") -> bool:
        """Whether both name the same user of the same server."""
        return (self.username, self.realm) == (other.username, other.realm) and self.same_server(other)

    def same_server(self, other: "Credentials") -> bool:
        """Whether both name the same server, in the same words but for the case of its host name."""
        return (self.host.lower(), self.port) == (other.host.lower(), other.port)

    def __str__(self) -> str:
        # A user's name may be the password, or hold it.
        return redacted(f"user {self.username!r} at {self.host}:{self.port}")
