"""The calls that a process makes to the outside, seen at the libraries that make them, and a fault at one of them."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
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

from tests.faults.edges import BEFORE, KILLED, LATE, OUTAGE, STALE, TIMEOUT

# Names of users, which differ from trial to trial.
_QUOTED = re.compile(r"""(["'`]).*?\1""")


def _die() -> None:
    """No `except` and no `finally` runs any more."""
    os._exit(1)


@dataclass
class Watch:
    """Counts the calls that count, and does a fault of this kind at the call of this number.

    `say` is told what happens. A stale call waits until `go` returns, a late one until `put_off` makes it.
    """

    say: Callable[..., None]
    kind: str = ""
    number: int = -1
    outage: bool = False
    go: Callable[[], Any] = lambda: None
    put_off: Callable[[Callable[[], Any]], None] = lambda perform: None
    die: Callable[[], None] = _die
    hang: Callable[[], Any] = signal.pause
    counts: Callable[[str], bool] = lambda name: True
    _count: int = field(default=0, init=False)
    _inside: bool = field(default=False, init=False)

    def __call__(
        self,
        name: str,
        perform: Callable[[], Any],
        broken: Callable[[], Exception],
        before_the_last_write: Callable[[], Any] | None = None,
    ) -> Any:
        """What `perform` returns, or with a fault what its caller then sees; `broken` is the error of a broken line."""
        if self._inside or not self.counts(name):
            return perform()
        number, self._count = self._count, self._count + 1
        self.say(call=name)
        self._inside = True
        try:
            if number == self.number:
                self.say(strikes=self.kind)
                return self._strike(perform, broken, before_the_last_write or perform)
            if self.outage and ":" not in name.split(maxsplit=1)[0]:
                raise broken()
            return perform()
        finally:
            self._inside = False

    def _strike(
        self, perform: Callable[[], Any], broken: Callable[[], Exception], before_the_last_write: Callable[[], Any]
    ) -> Any:
        self.outage = self.outage or self.kind == OUTAGE
        if self.kind == STALE:
            self.go()
            return before_the_last_write()
        if self.kind == LATE:
            self.put_off(perform)
        elif self.kind not in (BEFORE, OUTAGE):
            # Whether it did it or refused: nobody hears of either.
            with suppress(Exception):
                perform()
        if self.kind in (KILLED, LATE):
            self.die()
        if self.kind == TIMEOUT:
            self.say(hangs=True)
            self.hang()
        raise broken()


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Every call of this process goes through the watch: to AWS, and to any of the servers."""
    with ExitStack() as patches:
        for target, attribute, wrapper in _WRAPPERS:
            patches.enter_context(patch.object(target, attribute, wrapper(getattr(target, attribute), watch)))
        yield


def aws(call: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """botocore's one way to call any operation, through the watch."""

    def wrapped(client: Any, operation: str, arguments: Any) -> Any:
        service = client.meta.service_model.service_name

        def lost() -> Exception:
            error: Exception = botocore.exceptions.ConnectionClosedError(endpoint_url=client.meta.endpoint_url)
            return error

        def not_yet() -> Any:
            raise client.exceptions.ExecutionDoesNotExist({"Error": {"Code": "ExecutionDoesNotExist"}}, operation)

        read = not_yet if operation == "DescribeExecution" else None
        return watch(f"{service}:{operation}", lambda: call(client, operation, arguments), lost, read)

    return wrapped


def _statement(what: str, number: int, broken: Callable[[], Exception]) -> Callable[..., Any]:
    """A method of a driver whose argument of this number is the statement, or one that is always called `what`."""

    def wrapper(call: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            said = str(arguments[number]) if number else ""
            name = " ".join([what, *_QUOTED.sub("...", said).split()[:2]]) if said else what
            return watch(name, lambda: call(*arguments, **named), broken)

        return wrapped

    return wrapper


def _mongo(call: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
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


def _sent(call: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """One call is what is sent and the answer that is read: it is sent when the answer is asked for."""

    def wrapped(connection: Any, *command: Any, **named: Any) -> None:
        name = " ".join(command[:2]) if command[0] == "ACL" else command[0]
        connection.asked = (name, lambda: call(connection, *command, **named))

    return wrapped


def _read(call: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    def wrapped(connection: Any, *arguments: Any, **named: Any) -> Any:
        name, send = connection.asked

        def perform() -> Any:
            send()
            return call(connection, *arguments, **named)

        return watch(f"redis {name}", perform, lambda: redis.ConnectionError("connection closed"))

    return wrapped


_WRAPPERS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (botocore.client.BaseClient, "_make_api_call", aws),
    (pg8000.native.Connection, "__init__", _statement("postgres log-in", 0, _lost_postgres)),
    (pg8000.native.Connection, "run", _statement("postgres", 1, _lost_postgres)),
    (pymysql, "connect", _statement("mysql log-in", 0, _lost_mysql)),
    (pymysql.cursors.Cursor, "execute", _statement("mysql", 1, _lost_mysql)),
    (pymongo.database.Database, "command", _mongo),
    (redis.Connection, "send_command", _sent),
    (redis.Connection, "read_response", _read),
)
