"""The world of each engine: a real server, and what a test has to see and do there without the engine.

A further engine is one more entry in WORLDS.
"""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, Self

import pg8000.native as pg

from rotation.model import Credentials
from rotatorctl.local import postgresql, servers
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.postgresql import PostgreSQL
from tests.contract.full import PLACES, all_taken
from tests.contract.kept import Kept
from tests.contract.mongo_world import MongoWorld
from tests.contract.mysql_world import MySQLWorld
from tests.contract.redis_world import RedisWorld
from tests.contract.rights import least_rights


class World(Protocol):
    """A running server of one engine. `ca_pem` is the authority to trust, empty if the server speaks no TLS.

    Every world is started by a function like PostgresWorld.started: without TLS, or with an expired certificate.
    """

    @property
    def ca_pem(self) -> str: ...

    @property
    def port(self) -> int: ...

    def takes(self, name: str) -> bool:
        """Whether the server takes this as the name of a user."""
        ...

    def takes_password(self, password: str) -> bool:
        """Whether the server's clients can log in with this as a password."""
        ...

    def user(self, name: str | None = None, password: str | None = None) -> Credentials:
        """A new user who can log in and change its own password."""
        ...

    def admin(self, user: Credentials) -> Credentials:
        """A new user with no more rights than changing `user`'s password, or cloning it, asks for."""
        ...

    def logs_in(self, credentials: Credentials) -> bool:
        """Whether a client that shares no code with the engine is let in."""
        ...

    def refused(self, username: str) -> int:
        """How many log-ins of this user the server has refused so far."""
        ...

    def log(self) -> str:
        """What the server has logged so far; each statement as it came, where the server logs statements."""
        ...

    def session(self, credentials: Credentials) -> AbstractContextManager[Callable[[], object]]:
        """An open session; calling it raises if the session is dead."""
        ...

    def full(self) -> AbstractContextManager[None]:
        """While the block lasts, the server takes no further connection."""
        ...

    @property
    def refusal(self) -> str:
        """How the server's log begins to tell that it refused a log-in."""
        ...

    @property
    def speaks_first(self) -> bool:
        """Whether the server greets a client that has said nothing yet."""
        ...


class BlockingWorld(World, Protocol):
    """A server in which a statement can be made to wait for a lock, and which ends it after a time."""

    def blocked(self, user: str) -> AbstractContextManager[None]:
        """While the block lasts, a change of this user's password has to wait."""
        ...

    def waiting(self) -> bool:
        """Whether a change of a password waits at this moment."""
        ...


@dataclass(frozen=True)
class PostgresWorld:
    """PostgreSQL; the other client is psql, that is libpq."""

    server: PostgreSQL
    ca_file: Path
    admins: Kept[pg.Connection]
    refusal = "password authentication failed"
    speaks_first = False

    @classmethod
    @contextmanager
    def started(cls, *, tls: bool = True, expired: bool = False, names: Sequence[str] = ()) -> Iterator[Self]:
        authority = CertificateAuthority.made()
        certificate = authority.server_certificate(expired=expired, names=names)
        with (
            TemporaryDirectory() as folder,
            PostgreSQL.started(tls=tls, authority=authority, certificate=certificate, max_connections=PLACES) as server,
        ):
            ca_file = Path(folder, "ca.pem")
            ca_file.write_text(server.ca_pem)
            admins = Kept(server.admin, lambda: server.pid, lambda admin: admin.run("DISCARD ALL"))
            with closing(admins):
                yield cls(server, ca_file, admins)

    @property
    def ca_pem(self) -> str:
        return self.server.ca_pem

    @property
    def port(self) -> int:
        return self.server.port

    def takes(self, name: str) -> bool:
        return len(name.encode()) <= 63

    def takes_password(self, password: str) -> bool:
        return True

    def user(self, name: str | None = None, password: str | None = None) -> Credentials:
        made = Credentials(
            username=name or f"user-{secrets.token_hex(4)}",
            password=password or f"old-{secrets.token_urlsafe(16)}",
            host=servers.HOST,
            port=self.port,
            dbname=postgresql.DATABASE,
            ssl=bool(self.ca_pem),
        )
        if name:  # from a run of the same test before
            self.sql(*(f"DROP ROLE IF EXISTS {pg.identifier(each)}" for each in (name, f"{name}_clone")))
        self.sql(*postgresql.creation_of(made.username, made.password))
        return made

    def logs_in(self, credentials: Credentials) -> bool:
        told = {"PGUSER": credentials.username, "PGPASSWORD": credentials.password, "PGDATABASE": credentials.dbname}
        server = {"PGHOST": credentials.host, "PGPORT": str(credentials.port)}
        tls = {"PGSSLMODE": "verify-full" if credentials.ssl else "disable", "PGSSLROOTCERT": str(self.ca_file)}
        environment = {"PATH": os.environ["PATH"], **told, **server, **tls}
        psql = [str(postgresql._binaries() / "psql"), "--no-psqlrc", "--command", "SELECT 1"]
        client = subprocess.run(psql, env=environment, capture_output=True, text=True, check=False)
        assert client.returncode == 0 or "password authentication failed" in client.stderr, client.stderr
        return client.returncode == 0

    def admin(self, user: Credentials) -> Credentials:
        admin = replace(user, username=f"admin-{secrets.token_hex(4)}", password=f"its-{secrets.token_urlsafe(16)}")
        names = {'"app"': pg.identifier(user.username), '"rotator"': pg.identifier(admin.username)}
        self.sql(*least_rights("postgres admin", names | {"'…'": pg.literal(admin.password)}))
        return admin

    def refused(self, username: str) -> int:
        return self.server.log().count(f'password authentication failed for user "{username}"')

    def log(self) -> str:
        return self.server.log()

    @contextmanager
    def session(self, credentials: Credentials) -> Iterator[Callable[[], object]]:
        with self.server.connection(credentials.username, credentials.password) as connection:
            yield lambda: connection.run("SELECT 1")

    @contextmanager
    def blocked(self, user: str) -> Iterator[None]:
        """Another session has changed the role and not committed."""
        with self.server.admin() as admin:
            admin.run("BEGIN")
            admin.run(f"ALTER ROLE {pg.identifier(user)} CONNECTION LIMIT 5")
            yield
            admin.run("ROLLBACK")

    def waiting(self) -> bool:
        [[count]] = self.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(count)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Every connection that is not kept for superusers is taken."""
        taker = self.user()
        [[reserved]] = self.sql("SHOW superuser_reserved_connections")
        self.admins.close()
        with all_taken(
            PLACES - int(reserved),
            lambda: self.server.connection(taker.username, taker.password),
            lambda error: isinstance(error, pg.DatabaseError) and error.args[0]["C"] == "53300",
        ):
            yield

    def sql(self, *statements: str) -> Any:
        """The last statement's rows, asked by the superuser."""
        with self.admins.one() as admin:
            return [admin.run(statement) for statement in statements][-1]

    def verifier(self, credentials: Credentials) -> str:
        """What the server stores for this user."""
        [[verifier]] = self.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = {pg.literal(credentials.username)}")
        return str(verifier)

    def take_md5(self) -> None:
        """From now on users whose verifier is md5 can log in too."""
        [[file]] = self.sql("SHOW hba_file")
        self.reload(f"COPY (SELECT 'hostssl all all 127.0.0.1/32 md5') TO {pg.literal(file)}")

    def reload(self, statement: str) -> None:
        """Have the server read its settings again after this statement."""
        with self.server.admin() as admin:
            admin.run(statement)
            [[loaded]] = admin.run("SELECT pg_conf_load_time()")
            admin.run("SELECT pg_reload_conf()")
            while admin.run("SELECT pg_conf_load_time()") == [[loaded]]:
                pass


# By the engine's name. Those that end a statement which waits for a lock stand in both.
BLOCKING_WORLDS: dict[str, Callable[..., AbstractContextManager[BlockingWorld]]] = {
    "postgres": PostgresWorld.started,
    "mariadb": MySQLWorld.started,
}
WORLDS: dict[str, Callable[..., AbstractContextManager[World]]] = {
    **BLOCKING_WORLDS,
    "mongo": MongoWorld.started,
    "redis": RedisWorld.started,
}
