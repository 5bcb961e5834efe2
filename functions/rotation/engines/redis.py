"""Engine `redis`: ACL users of Redis (from 6) and Valkey, by redis-py."""

import hashlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import redis

from rotation.engines.base import CONNECT_TIMEOUT, STATEMENT_TIMEOUT, Engine
from rotation.errors import InvalidSecretError, LoginRefusedError, RightsDifferError, RotationError, UnavailableError
from rotation.model import Credentials
from rotation.tls import connect, verified_context

# How an answer begins that is an error, and what is said if the server's own words might quote a password's hash.
# The server has no list of them: src/server.c and src/acl.c of https://github.com/redis/redis/tree/7.0
_ERRORS: dict[str, tuple[type[RotationError], str]] = {
    **dict.fromkeys(("WRONGPASS ", "NOAUTH "), (LoginRefusedError, "")),
    "NOPERM ": (RightsDifferError, ""),
    **dict.fromkeys(("LOADING ", "BUSY ", "MASTERDOWN ", "READONLY ", "OOM "), (UnavailableError, "")),
    **dict.fromkeys(("CLUSTERDOWN ", "TRYAGAIN ", "ERR max number of clients"), (UnavailableError, "")),
    **dict.fromkeys(
        ("ERR DB index is out of range", "ERR value is not an integer", "ERR invalid DB index"),
        (InvalidSecretError, "the server has no database of the number in the secret's dbname"),
    ),
    # No room or no right to write the file: the change would be lost at the next start.
    **dict.fromkeys(("ERR There was an error trying to save", "ERR Rewriting config file"), (InvalidSecretError, "")),
    "ERR wrong number of arguments for 'auth'": (
        InvalidSecretError,
        "the server knows no users; they came with Redis 6",
    ),
    "ERR unknown ": (InvalidSecretError, "the server lacks a command; a managed one has an API of its own for users"),
    # A password that was to be taken away is gone already: then ACL SETUSER changes nothing at all.
    "ERR Error in ACL SETUSER modifier": (UnavailableError, "something else changed this user's passwords just now"),
}
_NEEDED = "changing a password needs +acl|getuser +acl|setuser +acl|save, without an ACL file +config|rewrite too"
_PROBE_TIMEOUT = 1


class Redis(Engine):
    """Sends the server a password's SHA-256, which is what it stores, so that no log of commands can hold the password.

    A Redis command has no time limit: one that reached a frozen server takes effect when the server goes on, even if
    its client has died. With `keep` that does no harm: it takes away only passwords that it names, never that of
    `keep`, and if one of them is gone already, it changes nothing. Without `keep` it takes away the current one.

    Replicas and the nodes of a cluster have users of their own: only those of the server in the secret are changed.
    Source: https://github.com/redis/redis/issues/6738 and https://github.com/valkey-io/valkey/issues/699
    """

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        """Being let in is the proof. A key in `reads` needs not exist: the right to read it is checked before that."""
        with _login(credentials) as connection:
            if credentials.dbname not in ("", "0"):
                _run(connection, "SELECT", credentials.dbname)
            for key in reads:
                _read(connection, credentials, key)

    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        """Changes nothing but passwords, and has the server keep the change over a restart.

        A user who is let in with any password (nopass) is refused: the first password would lock its clients out.
        """
        with _login(login) as connection:
            try:
                before = _passwords(connection, login, target.username)
                # Tried before anything is changed: whether the server can keep it, and `login` may ask for that.
                _save(connection, target)
                new, *kept = (hashlib.sha256(each.password.encode()).hexdigest() for each in (target, keep) if each)
                gone = [f"!{password}" for password in before if password not in (new, *kept)]
                _run(connection, "ACL", "SETUSER", target.username, f"#{new}", *gone)
                _save(connection, target)
            except redis.exceptions.NoPermissionError as error:
                raise RightsDifferError(f"{login}: {_answer(error)}; {_NEEDED}") from None


def _read(connection: redis.Connection, credentials: Credentials, key: str) -> None:
    """One byte at most. EXISTS would not do: a right to write is enough for it."""
    try:
        # A list, a hash and so on is no text, but the server looks at the rights first.
        _done(connection, "GETRANGE", key, 0, 0, unless="WRONGTYPE")
    except redis.exceptions.NoPermissionError as error:
        raise RightsDifferError(f"{credentials} may not read the key {key!r} (GETRANGE): {_answer(error)}") from None


def _passwords(connection: redis.Connection, login: Credentials, user: str) -> list[str]:
    """The SHA-256 of each password of this user."""
    reply = _run(connection, "ACL", "GETUSER", user)
    if reply is None:
        # ACL SETUSER would make it.
        raise InvalidSecretError(f"{login}: the server has no user {user!r}")
    rules = dict(zip(reply[::2], reply[1::2], strict=True))
    if b"nopass" in rules[b"flags"]:
        raise InvalidSecretError(
            f"{login}: user {user!r} is let in with any password (nopass); give it its first password by hand"
        )
    return [password.decode() for password in rules[b"passwords"]]


def _save(connection: redis.Connection, target: Credentials) -> None:
    """Have the server write its users where it reads them at its next start.

    That is an ACL file, else redis.conf; a server that was started without either forgets all users with its end.
    Source: https://redis.io/docs/latest/commands/acl-save/
    """
    if _done(connection, "ACL", "SAVE", unless="not configured to use an ACL file"):
        return
    if {"'", '"'} & set(target.username):
        raise InvalidSecretError(
            f"{target}: the server would not start again, because CONFIG REWRITE does not escape the quote in this "
            "name; users with such names need an ACL file (aclfile)"
        )
    _done(connection, "CONFIG", "REWRITE", unless="running without a config file")


@contextmanager
def _login(credentials: Credentials) -> Iterator[redis.Connection]:
    with _translated(credentials), closing(_socket(credentials)) as opened:
        connection = _Connection(  # type: ignore[no-untyped-call]  # redis-py's is half typed
            host=credentials.host, port=credentials.port, protocol=2, driver_info=None
        )
        connection.opened = opened
        # Not by redis-py: where a server knows no users, it would go on with the password alone.
        _run(connection, "AUTH", credentials.username, credentials.password)
        yield connection


class _Connection(redis.Connection):
    """redis-py makes a TLS context of its own; this takes a socket that is connected, once."""

    opened: socket.socket

    def _connect(self) -> socket.socket:
        return self.opened


def _run(connection: redis.Connection, *command: str | int) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def _done(connection: redis.Connection, *command: str | int, unless: str) -> bool:
    """Run it; False if the server answers with the error `unless`."""
    try:
        _run(connection, *command)
    except redis.ResponseError as error:
        if unless not in str(error):
            raise
        return False
    return True


def _socket(credentials: Credentials) -> socket.socket:
    """A connected socket, inside TLS unless the secret says otherwise."""
    context = verified_context() if credentials.ssl else None
    opened = connect((credentials.host, credentials.port), CONNECT_TIMEOUT)
    try:
        if context:
            opened = context.wrap_socket(opened, server_hostname=credentials.host)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        # A Redis without TLS waits for the end of a line, which a TLS client never sends.
        if _speaks_in_plain(credentials):
            raise InvalidSecretError(
                f"{credentials.host}:{credentials.port} does not speak TLS; turn it on there, "
                'or put "ssl": false into the secret to send passwords in the clear'
            ) from None
        raise ConnectionError(f"no TLS connection: {error}") from None
    opened.settimeout(STATEMENT_TIMEOUT + 1)
    return opened


def _speaks_in_plain(credentials: Credentials) -> bool:
    """Whether a Redis answers there without TLS: PONG, or an error that names why not."""
    where = (credentials.host, credentials.port)
    with suppress(OSError), socket.create_connection(where, _PROBE_TIMEOUT) as plain:
        plain.sendall(b"PING\r\n")
        return plain.recv(1) in (b"+", b"-")
    return False


@contextmanager
def _translated(credentials: Credentials) -> Iterator[None]:
    """The one place where the driver's errors become ours."""
    where = str(credentials)
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise InvalidSecretError(f"{where}: the server's certificate is not trusted: {error.verify_message}") from None
    except (OSError, redis.RedisError) as error:
        answer = _answer(error)
        for begins, (known, words) in _ERRORS.items():
            if answer.startswith(begins):
                raise known(f"{where}: {words or answer}") from None
        if isinstance(error, redis.ResponseError):
            raise
        raise UnavailableError(f"{where}: no answer ({error})") from None


def _answer(error: Exception) -> str:
    """The server's own words; redis-py takes the first off some of them."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)


ENGINE = Redis
