"""The calls that a function makes to the outside, seen at the libraries that make them, and a fault at one of them."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import botocore.client
import botocore.exceptions
import pg8000.native
import pymongo.database
import pymongo.errors
import pymysql
import pymysql.cursors
import redis

HUNG = "hangs"
# What may happen at a call: an error before it takes effect, or after it (its answer is lost); the process ends before
# or after it; the function reaches its time limit after it.
BEFORE, AFTER, KILLED_BEFORE, KILLED_AFTER, TIMEOUT = "before", "after", "killed before", "killed after", "timeout"
KINDS = (BEFORE, AFTER, KILLED_BEFORE, KILLED_AFTER, TIMEOUT)


@dataclass(frozen=True)
class Fault:
    """A fault of this kind at the call of this number, counted from 0 in one invocation."""

    call: int
    kind: str


type Say = Callable[..., None]


class _Watch:
    """Counts the calls, and does the fault at its call."""

    def __init__(self, fault: Fault | None, say: Say) -> None:
        self._fault, self._say, self._count = fault, say, 0
        self._inside = False

    def __call__(self, name: str, perform: Callable[[], Any], broken: Callable[[], Exception]) -> Any:
        if self._inside:
            return perform()
        number, self._count = self._count, self._count + 1
        self._say(call=name)
        self._inside = True
        try:
            if self._fault is None or self._fault.call != number:
                return perform()
            self._say(strikes=self._fault.kind)
            return self._strike(self._fault.kind, perform, broken)
        finally:
            self._inside = False

    def _strike(self, kind: str, perform: Callable[[], Any], broken: Callable[[], Exception]) -> Any:
        if kind not in (BEFORE, KILLED_BEFORE):
            perform()
        if kind in (KILLED_BEFORE, KILLED_AFTER):
            os._exit(1)
        if kind == TIMEOUT:
            self._say(**{HUNG: True})
            signal.pause()
        raise broken()


@contextmanager
def watched(fault: Fault | None, say: Say) -> Iterator[None]:
    """Every call of this process goes through a watch: to AWS, and to any of the servers."""
    watch = _Watch(fault, say)
    with ExitStack() as patches:
        for target, attribute, wrapper in _WRAPPERS:
            patches.enter_context(patch.object(target, attribute, wrapper(getattr(target, attribute), watch)))
        yield


def _aws(call: Callable[..., Any], watch: _Watch) -> Callable[..., Any]:
    def wrapped(client: Any, operation: str, arguments: Any) -> Any:
        service = client.meta.service_model.service_name

        def lost() -> Exception:
            error: Exception = botocore.exceptions.ConnectionClosedError(endpoint_url=client.meta.endpoint_url)
            return error

        return watch(f"{service}:{operation}", lambda: call(client, operation, arguments), lost)

    return wrapped


def _statement(what: str, number: int, broken: Callable[[], Exception]) -> Callable[..., Any]:
    """A method of a driver whose argument of this number is the statement, or one that is always called `what`."""

    def wrapper(call: Callable[..., Any], watch: _Watch) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            said = str(arguments[number]) if number else ""
            name = " ".join([what, *said.split()[:2]]) if said else what
            return watch(name, lambda: call(*arguments, **named), broken)

        return wrapped

    return wrapper


def _mongo(call: Callable[..., Any], watch: _Watch) -> Callable[..., Any]:
    def wrapped(database: Any, command: Any, *arguments: Any, **named: Any) -> Any:
        name = command if isinstance(command, str) else next(iter(command))
        return watch(
            f"mongo {name}",
            lambda: call(database, command, *arguments, **named),
            lambda: pymongo.errors.AutoReconnect("connection closed"),
        )

    return wrapped


def _lost_postgres() -> Exception:
    error: Exception = pg8000.native.InterfaceError("network error")
    return error


def _lost_mysql() -> Exception:
    return pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")


def _sent(call: Callable[..., Any], watch: _Watch) -> Callable[..., Any]:
    """One call is what is sent and the answer that is read: it is sent when the answer is asked for."""

    def wrapped(connection: Any, *command: Any, **named: Any) -> None:
        connection.asked = (command[0], lambda: call(connection, *command, **named))

    return wrapped


def _read(call: Callable[..., Any], watch: _Watch) -> Callable[..., Any]:
    def wrapped(connection: Any, *arguments: Any, **named: Any) -> Any:
        name, send = connection.asked

        def perform() -> Any:
            send()
            return call(connection, *arguments, **named)

        return watch(f"redis {name}", perform, lambda: redis.ConnectionError("connection closed"))

    return wrapped


_WRAPPERS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (botocore.client.BaseClient, "_make_api_call", _aws),
    (pg8000.native.Connection, "__init__", _statement("postgres log-in", 0, _lost_postgres)),
    (pg8000.native.Connection, "run", _statement("postgres", 1, _lost_postgres)),
    (pymysql, "connect", _statement("mysql log-in", 0, _lost_mysql)),
    (pymysql.cursors.Cursor, "execute", _statement("mysql", 1, _lost_mysql)),
    (pymongo.database.Database, "command", _mongo),
    (redis.Connection, "send_command", _sent),
    (redis.Connection, "read_response", _read),
)
