"""Engine `postgres`: PostgreSQL and Aurora PostgreSQL, by pg8000."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import pg8000.native as pg
from pg8000.core import Context

from rotation.engines import postgres_roles
from rotation.engines.base import CONNECT_TIMEOUT, STATEMENT_TIMEOUT, Engine
from rotation.engines.postgres_verifiers import password_verifier, prepared
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from rotation.tls import connect, verified_context

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_ERRORS: dict[str, type[RotationError]] = {
    "28": LoginRefusedError,
    # No such database, schema, table, role.
    "3D000": InvalidSecretError,
    "3F000": InvalidSecretError,
    "42P01": InvalidSecretError,
    "42704": InvalidSecretError,
    # What is named in `reads` is no table: it has a name of three parts or more, or is an index.
    "0A000": InvalidSecretError,
    "42601": InvalidSecretError,
    "42809": InvalidSecretError,
    "42501": RightsDifferError,
    # A setting, or a password that the server judges.
    "22023": InvalidSecretError,
    "08": UnavailableError,
    # A standby, or a server that a failover has just made read-only.
    "25006": UnavailableError,
    "40": UnavailableError,
    "53": UnavailableError,
    "55P03": UnavailableError,
    "57": UnavailableError,
    "58": UnavailableError,
    # "tuple concurrently updated": another session changed the same role at this moment.
    "XX000": UnavailableError,
}
# What the module passwordcheck, and others of its kind, answer.
_REJECTED = "22023"
# A role may carry settings (ALTER ROLE ... SET) that are meant for its application and would forbid ALTER ROLE here.
# The search path keeps the admin from calling a function that an application made under a built-in one's name.
# A database has settings of its own too, and its owner may be the application: strings and limits are the usual ones.
_OWN_SETTINGS = (
    "SET role = none; SET search_path = pg_catalog; SET standard_conforming_strings = on; "
    "SET default_transaction_read_only = off; SET synchronous_commit = on; SET lock_timeout = 0; "
    "SET idle_in_transaction_session_timeout = 0; SET datestyle = ISO; SET timezone = 'UTC'"
)
# Since PostgreSQL 17; before that there is nothing to set.
_NO_LIMIT = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'"
# What the server is set to: not what its user or the owner of a database has set for new sessions.
_KIND = """
    SELECT setting FROM pg_settings
    WHERE name = 'password_encryption' AND source NOT IN ('database', 'user', 'database user', 'session')"""
_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
_SASL = (10).to_bytes(4)


class Postgres(Engine):
    """Sends the server a password verifier, so that the password itself never reaches a statement log."""

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        with _login(credentials) as connection:
            connection.run("SELECT 1")
            for name in reads:
                table = ".".join(pg.identifier(part) for part in name.split("."))
                connection.run(f"SELECT FROM {table} LIMIT 0")

    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        with _login_to_change(login, target) as connection:
            _set_password(connection, target)

    def clone_user(self, admin: Credentials, source: Credentials, clone: Credentials, *, known: bool) -> None:
        with _login_to_change(admin, source) as connection:
            connection.run("BEGIN")
            names = source.username, clone.username
            postgres_roles.make_equal(connection.run, *names, pg.identifier, known=known)
            _set_password(connection, clone)
            connection.run("COMMIT")

    def rights(self, credentials: Credentials) -> frozenset[str]:
        with _login(credentials) as connection:
            return frozenset(right for [right] in connection.run(postgres_roles.RIGHTS) or [])


@contextmanager
def _login_to_change(login: Credentials, target: Credentials) -> Iterator[pg.Connection]:
    """A session of `login` that changes `target`, in the target's database."""
    with _login(replace(login, dbname=target.dbname)) as connection:
        connection.run(_OWN_SETTINGS)
        connection.run(_NO_LIMIT)
        yield connection


def _set_password(connection: pg.Connection, target: Credentials) -> None:
    [[kind]] = connection.run(_KIND) or [["scram-sha-256"]]
    verifier = pg.literal(password_verifier(kind, target, prepared(target.password)))
    try:
        connection.run(f"ALTER ROLE {pg.identifier(target.username)} PASSWORD {verifier}")
    except pg.DatabaseError as error:
        if error.args[0].get("C") == _REJECTED:
            raise PasswordRejectedError(f"{target}: {error.args[0].get('M')} (SQLSTATE {_REJECTED})") from None
        raise


@contextmanager
def _login(credentials: Credentials) -> Iterator[pg.Connection]:
    with _translated(credentials):
        connection = _Connection(
            user=credentials.username,
            password=credentials.password,
            database=credentials.dbname,
            sock=_socket(credentials),
            ssl_context=False,
            application_name="secret rotation",
            startup_params={"client_encoding": "UTF8"},
        )
        try:
            # By itself: a time limit holds for the statements after it, and SET role may have to wait for a lock too.
            connection.run(f"SET statement_timeout = '{STATEMENT_TIMEOUT}s'")
            yield connection
        finally:
            # A connection that broke cannot be closed politely; the error that broke it is the one to tell.
            with suppress(pg.InterfaceError, OSError):
                connection.close()


def _socket(credentials: Credentials) -> socket.socket:
    """A connected socket, inside TLS unless the secret says otherwise. pg8000's own way takes any certificate."""
    plain = connect((credentials.host, credentials.port), CONNECT_TIMEOUT)
    try:
        plain.settimeout(STATEMENT_TIMEOUT + 1)
        if not credentials.ssl:
            return plain
        plain.sendall(_SSL_REQUEST)
        answer = plain.recv(1)
        if answer == b"S":
            return verified_context().wrap_socket(plain, server_hostname=credentials.host)
        if answer == b"N":
            raise InvalidSecretError(
                f"{credentials.host}:{credentials.port} does not speak TLS; turn it on there, "
                'or put "ssl": false into the secret to send passwords in the clear'
            )
        # "E": PostgreSQL could not start a session. Nothing: it closed the connection. Else it is another service.
        raise ConnectionError(f"asked for TLS, it answered {answer!r} instead of S or N")
    except BaseException:
        plain.close()
        raise


class _Connection(pg.Connection):  # type: ignore[misc]  # pg8000 has no types
    """pg8000 refuses names and passwords that SASLprep forbids; PostgreSQL and libpq take their bytes as they are.

    Source: RFC 5802 and https://www.postgresql.org/docs/current/sasl-authentication.html (the server ignores the user
    name in this message and takes the one of the startup message).
    """

    user: bytes
    password: bytes

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Context) -> None:  # noqa: N802  pg8000's name
        if data[:4] != _SASL:
            super().handle_AUTHENTICATION_REQUEST(data, context)
            return
        user, password = self.user, self.password
        self.user = self.password = b"*"
        super().handle_AUTHENTICATION_REQUEST(data, context)
        self.user, self.password = user, password
        self.auth.password = prepared(password.decode())


@contextmanager
def _translated(credentials: Credentials) -> Iterator[None]:
    """The one place where the driver's errors become ours. Server texts are quoted, the boundary takes values out."""
    where = str(credentials)
    try:
        yield
    except pg.DatabaseError as error:
        answer = error.args[0]
        state = answer.get("C", "")
        known = _ERRORS.get(state) or _ERRORS.get(state[:2])
        if known is None:
            raise
        raise known(f"{where}: {answer.get('M')} (SQLSTATE {state})") from None
    except ssl.SSLCertVerificationError as error:
        raise InvalidSecretError(f"{where}: the server's certificate is not trusted: {error.verify_message}") from None
    except (OSError, pg.InterfaceError) as error:
        raise UnavailableError(f"{where}: no answer ({error})") from None


ENGINE = Postgres
