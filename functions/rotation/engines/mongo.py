"""Engine `mongo`: MongoDB from 4.4 and Amazon DocumentDB from 5.0 on, by PyMongo; tried against SecantusDB alone."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidName, OperationFailure
from pymongo.saslprep import saslprep
from pymongo.uri_parser import split_hosts

from rotation.engines.base import CONNECT_TIMEOUT, STATEMENT_TIMEOUT, Engine, somebody_elses
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from rotation.tls import reach, verified_context

type Document = dict[str, Any]
type Client = MongoClient[Document]

_USER_EXISTS, _UNCONFIRMED = 51003, 64
# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml. PyMongo itself turns those that say that
# the server is not the primary, or shuts down, into a ConnectionFailure.
_ERRORS: dict[int | None, type[RotationError]] = {
    **dict.fromkeys((18, 334), LoginRefusedError),  # AuthenticationFailed, MechanismUnavailable
    **dict.fromkeys((11, 73), InvalidSecretError),  # UserNotFound, InvalidNamespace
    13: RightsDifferError,  # Unauthorized
    50692: PasswordRejectedError,  # SASLprep failed (src/mongo/util/icu.cpp)
    **dict.fromkeys((6, 7, 24, 46, 50, _UNCONFIRMED, 89, 112, 202, 262, 9001, 11601), UnavailableError),
}
# What makes up a user beside name and password, and what it is in a user who has none.
_CLONED: Document = {"roles": [], "mechanisms": [], "customData": {}, "authenticationRestrictions": []}
# An OP_MSG with {"hello": 1, "$db": "admin"}, which every server answers by an OP_MSG, also before a log-in.
# https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
_OP_MSG = (2013).to_bytes(4, "little")
_HELLO = b"\x34\0\0\0" + bytes(8) + _OP_MSG + bytes(5) + b"\x1f\0\0\0\x10hello\0\1\0\0\0\2$db\0\6\0\0\0admin\0\0"
_UNPREPARED = "the password has characters that SASLprep (RFC 4013) forbids, so no client can log in with it"


class Mongo(Engine):
    """A user's `dbname` is the database in which the user is defined (authentication database).

    With `replica_set`, or several hosts, the primary is found from these; else the one host is asked and no other.
    """

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        """Reads from "database.collection" or "collection". One that does not exist is empty to MongoDB, no error."""
        with _login(credentials) as client:
            for name in reads:
                database, collection = name.split(".", 1) if "." in name else (credentials.dbname, name)
                command = {"find": collection, "limit": 1, "singleBatch": True, "projection": {"_id": True}}
                with _translated(f"{credentials}, reading {name!r}"):
                    _run(client, database, command)

    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        with _login(login) as client:
            _refuse_unprepared(client, target, target)
            _write(client, target.dbname, {"updateUser": target.username, "pwd": target.password})

    def clone_user(self, admin: Credentials, source: Credentials, clone: Credentials, *, known: bool) -> None:
        with _login(admin) as client:
            _refuse_unprepared(client, clone, source)
            user = {"pwd": clone.password, **_cloned(client, source, clone)}
            try:
                _write(client, clone.dbname, {"createUser": clone.username, **user})
            except OperationFailure as error:
                if error.code != _USER_EXISTS:
                    raise
                if not known:
                    raise InvalidSecretError(somebody_elses(clone.username)) from None
                _write(client, clone.dbname, {"updateUser": clone.username, **user})

    def rights(self, credentials: Credentials) -> frozenset[str]:
        """The roles, and each privilege where the server tells privileges."""
        with _login(credentials) as client:
            told = _run(client, "admin", {"connectionStatus": 1, "showPrivileges": True})["authInfo"]
        roles = frozenset(f"role {each['role']} on {each['db']}" for each in told["authenticatedUserRoles"])
        return roles.union(
            f"{action} on {_resource(privilege['resource'])}"
            for privilege in told.get("authenticatedUserPrivileges", ())
            for action in privilege["actions"]
        )


def _resource(resource: Mapping[str, object]) -> str:
    """A database's name has neither a dot nor an asterisk in it, so these words are never ambiguous.

    Source: https://www.mongodb.com/docs/manual/reference/resource-document/
    """
    if set(resource) != {"db", "collection"}:
        return ", ".join(f"{key} {value}" for key, value in sorted(resource.items()))
    database, collection = resource["db"] or "*", resource["collection"]
    return f"{database}.{collection}" if collection else str(database)


def _cloned(client: Client, source: Credentials, clone: Credentials) -> Document:
    """All that `source` has beside its password, and emptied what only `clone` has."""
    asked = [{"user": user.username, "db": user.dbname} for user in (source, clone)]
    answer = _run(client, source.dbname, {"usersInfo": asked, "showAuthenticationRestrictions": True})
    users = {(user["user"], user["db"]): user for user in answer["users"]}
    original = users.get((source.username, source.dbname))
    if original is None:
        raise InvalidSecretError(f"{source}: there is no such user in the database {source.dbname!r}")
    former = users.get((clone.username, clone.dbname), {})
    return {field: original.get(field, none) for field, none in _CLONED.items() if field in {*original, *former}}


def _refuse_unprepared(client: Client, target: Credentials, like: Credentials) -> None:
    """SCRAM-SHA-256 has a password prepared (RFC 7677), SCRAM-SHA-1 takes any: it depends on the user `like`."""
    try:
        saslprep(target.password)
    except (ValueError, IndexError):
        hello = client.admin.command("hello", saslSupportedMechs=f"{like.dbname}.{like.username}")
        if "SCRAM-SHA-256" in hello.get("saslSupportedMechs", ()):
            raise PasswordRejectedError(f"{target}: {_UNPREPARED}") from None


def _write(client: Client, database: str, command: Document) -> None:
    """A change that no failover takes back."""
    concern = {"w": "majority", "wtimeout": STATEMENT_TIMEOUT * 1000}
    answer = _run(client, database, {**command, "writeConcern": concern})
    if error := answer.get("writeConcernError"):
        raise OperationFailure(f"changed, but a failover may undo it: {error.get('errmsg')}", _UNCONFIRMED)


def _run(client: Client, database: str, command: Document) -> Document:
    """The answer to a command, which the server itself ends after a time."""
    return client[database].command({**command, "maxTimeMS": STATEMENT_TIMEOUT * 1000})


@contextmanager
def _login(credentials: Credentials) -> Iterator[Client]:
    with _translated(str(credentials)):
        context = verified_context() if credentials.ssl else None
        reach(_addresses(credentials), context, CONNECT_TIMEOUT, _greeted)
        with _client(credentials, context) as client:
            try:
                _run(client, "admin", {"ping": 1})
            except (ValueError, IndexError):
                raise LoginRefusedError(f"{credentials}: {_UNPREPARED}") from None
            yield client


def _addresses(credentials: Credentials) -> list[tuple[str, int]]:
    host = credentials.host
    host = f"[{host}]" if host.count(":") > 1 and not {",", "["} & set(host) else host
    return [(name, int(port or 0)) for name, port in split_hosts(host, credentials.port)]


def _client(credentials: Credentials, context: ssl.SSLContext | None) -> Client:
    """A client that has not connected yet. It tries nothing twice: a refused log-in may count against the user."""
    hosts = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in _addresses(credentials)]
    seconds = {"connect": CONNECT_TIMEOUT, "serverSelection": CONNECT_TIMEOUT, "socket": STATEMENT_TIMEOUT + 1}
    options: Document = {f"{what}TimeoutMS": limit * 1000 for what, limit in seconds.items()}
    options |= {"retryReads": False, "retryWrites": False, "maxPoolSize": 1, "serverMonitoringMode": "poll"}
    client: Client = MongoClient(
        hosts,
        connect=False,
        username=credentials.username,
        password=credentials.password,
        authSource=credentials.dbname,
        replicaSet=credentials.replica_set or None,
        directConnection=len(hosts) == 1 and not credentials.replica_set,
        **options | {"appname": "secret rotation"},
    )
    # PyMongo takes only names of files, and would read a store for each client, which takes longer than the log-in.
    pool: Any = client.options.pool_options
    pool._PoolOptions__ssl_context = context
    assert pool._ssl_context is context, "PyMongo would not use this TLS"
    return client


def _greeted(plain: socket.socket) -> bool:
    plain.sendall(_HELLO)
    return plain.recv(16)[12:] == _OP_MSG


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """The one place where the driver's errors become ours. Server texts are quoted, the boundary takes values out."""
    try:
        yield
    except OperationFailure as error:
        known = _ERRORS.get(error.code)
        if known is None:
            raise
        raise known(f"{where}: {_text(error)} (code {error.code})") from None
    except ssl.SSLCertVerificationError as error:
        raise InvalidSecretError(f"{where}: the server's certificate is not trusted: {error.verify_message}") from None
    except (OSError, ConnectionFailure) as error:
        raise UnavailableError(f"{where}: no answer ({_text(error)})") from None
    except (ConfigurationError, InvalidName) as error:
        raise InvalidSecretError(f"{where}: {_text(error)}") from None


def _text(error: Exception) -> str:
    """What the driver says, without the answer and the topology that it adds in full."""
    return re.split(r", full error: |, Timeout: | \(configured timeouts: ", str(error))[0]


ENGINE = Mongo
