"""Engine `mysql`: MySQL, MariaDB and Aurora MySQL, by PyMySQL."""

import ssl
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pymysql
from pymysql.cursors import Cursor

from rotation.engines import mysql_clone as cloning
from rotation.engines import mysql_users as users
from rotation.engines.base import CONNECT_TIMEOUT, STATEMENT_TIMEOUT, Engine
from rotation.engines.mysql_grants import literal, table
from rotation.errors import (
    InvalidSecretError,
    LoginRefusedError,
    PasswordRejectedError,
    RightsDifferError,
    RotationError,
    UnavailableError,
)
from rotation.model import Credentials
from rotation.tls import verified_context

# Numbers: https://mariadb.com/kb/en/mariadb-error-code-reference and
# https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html; from 2000 to 2999 they are the driver's.
_MEANINGS: dict[type[RotationError], tuple[int, ...]] = {
    # No account for this host; an expired password; TLS wanted; "incorrect current password" of REPLACE; locked.
    LoginRefusedError: (1130, 1820, 1862, 3118, 3159, 3891, 3955, 4151),
    # "Access denied" (1045, 1698) in a session means a missing right: the log-in was let in.
    RightsDifferError: (1044, 1045, 1132, 1142, 1143, 1211, 1227, 1356, 1370, 1410, 1698, 1959),
    PasswordRejectedError: (1819, 3638),
    # What is named does not exist or cannot exist; the account logs in by a method that has no password here, or wants
    # its old password with every change (3892).
    InvalidSecretError: (1046, 1049, 1054, 1102, 1103, 1133, 1146, 1251, 1300, 1305, 1470, 1524, 1699, 2059, 3892),
    UnavailableError: (
        *(1037, 1038, 1040, 1041, 1129, 1135, 1203, 1226),  # full: connections, memory, the user's limits
        *(1021, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 4031),  # it ends, or ended this
        *(1205, 1213, 1969, 3024),  # waited too long for a lock
        *(1047, 1290, 1792, 1836),  # read-only: a replica, or a server that a failover has just made one
        *(2002, 2003, 2005, 2006, 2012, 2013, 2014, 2055),  # no answer
    ),
}
_IN_SESSION = {number: error for error, numbers in _MEANINGS.items() for number in numbers}
_AT_LOG_IN = {**_IN_SESSION, 1045: LoginRefusedError, 1698: LoginRefusedError}
_PARSE_ERROR, _OPTION_PREVENTS, _CANNOT_USER, _NO_TLS = 1064, 1290, 1396, 2026


class MySQL(Engine):
    """Sends MariaDB a hash, so that the password itself never reaches a statement log.

    Only a validation plug-in makes MariaDB ask for the clear text. MySQL gets that always and keeps it out of its logs.
    What is done on MySQL alone was not run against a server.
    """

    def verify(self, credentials: Credentials, reads: Sequence[str] = ()) -> None:
        with _login(credentials, credentials.dbname) as session:
            session.run("SELECT 1")
            for name in reads:
                if "." not in name and not credentials.dbname:
                    raise InvalidSecretError(
                        f"{credentials}: table {name!r} is in no database, and the secret has none"
                    )
                session.run(f"SELECT 1 FROM {table(name)} LIMIT 0")

    def set_password(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        with _login(login) as session:
            if not login.same_account(target):
                with users.locked(session, STATEMENT_TIMEOUT, target.username):
                    users.set_every_password(session, target, keep)
                    self._discard(session, target)
            elif session.is_mariadb:
                users.set_own_password(session, target)
            else:
                self._set_own_on_mysql(session, target, keep)

    def clone_user(self, admin: Credentials, source: Credentials, clone: Credentials, *, known: bool) -> None:
        names = (source.username, clone.username)
        with _login(admin) as session, users.locked(session, STATEMENT_TIMEOUT, *names):
            cloning.clone(session, source, clone, known=known)
            self._discard(session, clone)

    def rights(self, credentials: Credentials) -> frozenset[str]:
        with _login(credentials) as session:
            return frozenset(str(right) for right in cloning.own_rights(session))

    def _set_own_on_mysql(self, session: "_Session", target: Credentials, keep: Credentials | None) -> None:
        """Not run against a server. MySQL checks with REPLACE that the password to keep is the one to be kept.

        Without it a second RETAIN would keep the new password and drop the old one.
        Source: https://dev.mysql.com/doc/refman/8.0/en/alter-user.html#alter-user-authentication
        """
        change = f"ALTER USER USER() IDENTIFIED BY {literal(target.password)}"
        if not (self._retain and keep and keep.same_account(target) and keep.password != target.password):
            session.run(change)
            if self._retain:
                session.run("ALTER USER USER() DISCARD OLD PASSWORD")
            return
        try:
            session.run(f"{change} REPLACE {literal(keep.password)} RETAIN CURRENT PASSWORD")
        except LoginRefusedError:
            # Another call was faster, or the password to keep has been refused before.
            with _login(target):
                return

    def _discard(self, session: "_Session", target: Credentials) -> None:
        if self._retain and not session.is_mariadb:
            users.discard_second_passwords(session, target.username)


class _Session:
    """A log-in in which the server ends what takes too long, also when its client has died."""

    def __init__(self, connection: "pymysql.Connection[Cursor]", credentials: Credentials) -> None:
        self._connection, self._credentials = connection, credentials
        seconds = STATEMENT_TIMEOUT
        # A backslash is a character like others, names are quoted, and no GRANT makes a user.
        modes = "NO_BACKSLASH_ESCAPES" + (",NO_AUTO_CREATE_USER" if self.is_mariadb else "")
        # MySQL has no limit for the statements that change users. An idle session, of a client that is frozen, is ended
        # too: it may hold the lock.
        limits = f"lock_wait_timeout = {seconds}, wait_timeout = {seconds + 1}"
        if self.is_mariadb:
            limits += f", max_statement_time = {seconds}"
        self.run(f"SET SESSION sql_mode = '{modes}', sql_quote_show_create = 1, {limits}")

    @property
    def is_mariadb(self) -> bool:
        version = self._connection.get_server_info()  # type: ignore[no-untyped-call]  # its stubs do not say
        return "mariadb" in str(version).lower()

    def run(self, statement: str) -> Sequence[Sequence[Any]]:
        """The rows of the answer. Raises this package's errors; the driver's for what has no meaning here."""
        with _translated(self._credentials, _IN_SESSION), self._connection.cursor() as cursor:
            try:
                cursor.execute(statement)
            except pymysql.OperationalError as error:
                if error.args[0] != _CANNOT_USER:
                    raise
                # MariaDB only "failed" an operation on a user; the error before that one says why.
                cursor.execute("SHOW ERRORS")
                for _, number, text in cursor.fetchall()[-2:-1]:
                    raise pymysql.OperationalError(number, text) from None
                raise
            return cursor.fetchall()


@contextmanager
def _login(credentials: Credentials, database: str = "") -> Iterator[_Session]:
    with closing(_connected(credentials, database)) as connection:
        yield _Session(connection, credentials)


def _connected(credentials: Credentials, database: str) -> "pymysql.Connection[Cursor]":
    tls: dict[str, Any] = {"ssl": verified_context()} if credentials.ssl else {"ssl_disabled": True}
    with _translated(credentials, _AT_LOG_IN):
        try:
            return pymysql.connect(
                host=credentials.host,
                port=credentials.port,
                user=credentials.username,
                # As bytes: PyMySQL would encode a text as latin1.
                password=credentials.password.encode(),
                database=database or None,
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=STATEMENT_TIMEOUT + 1,
                write_timeout=STATEMENT_TIMEOUT + 1,
                autocommit=True,
                program_name="secret rotation",
                **tls,
            )
        except RuntimeError as missing:
            # Without TLS caching_sha2_password needs a package of its own, and ed25519 always.
            raise InvalidSecretError(f"{credentials} logs in by a method that is not supported: {missing}") from None
        except (struct.error, ValueError, IndexError) as malformed:
            raise UnavailableError(f"{credentials}: no answer of a MySQL server ({malformed})") from None


@contextmanager
def _translated(credentials: Credentials, meanings: Mapping[int, type[RotationError]]) -> Iterator[None]:
    """The one place where the driver's errors become ours. Server texts are quoted, the boundary takes values out."""
    try:
        yield
    except pymysql.MySQLError as error:
        raise _ours(error, str(credentials), meanings) from None


def _ours(error: pymysql.MySQLError, where: str, meanings: Mapping[int, type[RotationError]]) -> Exception:
    number, text = (*error.args, "", "")[:2]
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return InvalidSecretError(f"{where}: the server's certificate is not trusted: {cause.verify_message}")
    if number == _NO_TLS:
        return InvalidSecretError(
            f"{where} does not speak TLS; turn it on there, "
            'or put "ssl": false into the secret to send passwords in the clear'
        )
    if number == _PARSE_ERROR:
        # The server quotes a part of the statement, which may be a part of a password.
        return InvalidSecretError(f"{where}: this version of the server lacks a statement that the rotation needs")
    if number == _OPTION_PREVENTS and "--strict-password-validation" in str(text):
        return PasswordRejectedError(f"{where}: {text} (error {number})")
    if not isinstance(number, int):
        return UnavailableError(f"{where}: no answer of a MySQL server ({error})")
    meaning = meanings.get(number)
    return meaning(f"{where}: {text} (error {number})") if meaning else error


ENGINE = MySQL
