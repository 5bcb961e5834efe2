"""The world of MySQL and MariaDB: a real MariaDB; the other client is `mariadb`, that is MariaDB's C library."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pymysql

from rotation.engines.mysql_grants import literal
from rotation.model import Credentials
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.mariadb import MariaDB, hash_of
from rotatorctl.local.servers import HOST
from tests.contract.full import PLACES, all_taken
from tests.contract.kept import Kept
from tests.contract.rights import least_rights

LONGEST_NAME = 128
TOO_MANY_CONNECTIONS, LOCKED = 1040, 4151


@dataclass(frozen=True)
class MySQLWorld:
    """A MariaDB that takes few connections."""

    server: MariaDB
    ca_file: Path
    admins: Kept[pymysql.cursors.Cursor]
    refusal = "Access denied"
    speaks_first = True

    @classmethod
    @contextmanager
    def started(cls, *, tls: bool = True, expired: bool = False) -> Iterator[Self]:
        authority = CertificateAuthority.made()
        certificate = authority.server_certificate(expired=expired)
        with (
            TemporaryDirectory() as folder,
            MariaDB.started(tls=tls, authority=authority, certificate=certificate, max_connections=PLACES) as server,
        ):
            ca_file = Path(folder, "ca.pem")
            ca_file.write_text(server.ca_pem)
            with closing(Kept(server.admin, lambda: server.pid)) as admins:
                world = cls(server, ca_file, admins)
                if not expired:
                    world.sql("CREATE DATABASE shop")
                yield world

    @property
    def ca_pem(self) -> str:
        return self.server.ca_pem

    @property
    def port(self) -> int:
        return self.server.port

    def takes(self, name: str) -> bool:
        """MariaDB makes a question mark of what needs four bytes, and forgets spaces at the end when it restarts."""
        return len(name) <= LONGEST_NAME and max(name) <= "\uffff" and not name.endswith(" ")

    def takes_password(self, password: str) -> bool:
        return True

    def user(self, name: str | None = None, password: str | None = None) -> Credentials:
        made = Credentials(
            username=name or f"user-{secrets.token_hex(4)}",
            password=password or f"old-{secrets.token_urlsafe(16)}",
            host=HOST,
            port=self.port,
            ssl=bool(self.ca_pem),
        )
        if name:  # from a run of the same test before
            self.sql(*(f"DROP USER IF EXISTS {literal(each)}@'%'" for each in (name, f"{name}_clone"[:LONGEST_NAME])))
        identified = f"IDENTIFIED VIA mysql_native_password USING '{hash_of(made.password)}'"
        self.sql(f"CREATE USER {literal(made.username)}@'%' {identified}")
        return made

    def admin(self, user: Credentials) -> Credentials:
        admin = replace(user, username=f"admin-{secrets.token_hex(4)}", password=f"its-{secrets.token_urlsafe(16)}")
        names = {"'app'": literal(user.username), "'rotator'": literal(admin.username), "'…'": literal(admin.password)}
        self.sql(*least_rights("mysql admin", names), *least_rights("mysql clones", names))
        return admin

    def refused(self, username: str) -> int:
        return self.server.log().count(f"Connect\t{self.refusal} for user '{username}'@")

    def logs_in(self, credentials: Credentials) -> bool:
        tls = [f"--ssl-ca={self.ca_file}", "--ssl-verify-server-cert"] if credentials.ssl else ["--skip-ssl"]
        client = subprocess.run(
            [
                *("mariadb", "--no-defaults", "--protocol=tcp", "--default-character-set=utf8mb4", *tls),
                *(f"--host={credentials.host}", f"--port={credentials.port}", f"--user={credentials.username}"),
                *("--execute=SELECT 1", credentials.dbname),
            ],
            env={"PATH": os.environ["PATH"], "MYSQL_PWD": credentials.password},
            capture_output=True,
            text=True,
            check=False,
        )
        refused = self.refusal in client.stderr or f"ERROR {LOCKED}" in client.stderr
        assert client.returncode == 0 or refused, client.stderr
        return client.returncode == 0

    def log(self) -> str:
        return self.server.log()

    @contextmanager
    def session(self, credentials: Credentials) -> Iterator[Callable[[], object]]:
        with self.server.connection(credentials.username, credentials.password) as cursor:
            yield lambda: cursor.execute("SELECT 1")

    @contextmanager
    def blocked(self, user: str) -> Iterator[None]:
        """Another session reads the table of all users and lets nobody change it."""
        with self.server.admin() as admin:
            admin.execute("LOCK TABLES mysql.global_priv READ")
            yield
            admin.execute("UNLOCK TABLES")

    def waiting(self) -> bool:
        return bool(
            self.sql("SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table % lock'")
        )

    @contextmanager
    def full(self) -> Iterator[None]:
        """Every connection that is not kept for administrators is taken."""
        taker = self.user()
        self.admins.close()
        with all_taken(
            PLACES,
            lambda: self.server.connection(taker.username, taker.password),
            lambda error: isinstance(error, pymysql.OperationalError) and error.args[0] == TOO_MANY_CONNECTIONS,
        ):
            yield

    def sql(self, *statements: str) -> Any:
        """The last statement's rows, asked by the administrator."""
        with self.admins.one() as admin:
            admin.execute("SET sql_mode = 'NO_BACKSLASH_ESCAPES,NO_AUTO_CREATE_USER'")
            for statement in statements:
                admin.execute(statement)
            return admin.fetchall()
