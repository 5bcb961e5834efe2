"""The world of the engine `mongo`: SecantusDB, seen by a PyMongo of another environment."""

import json
import secrets
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from pymongo import MongoClient
from pymongo.saslprep import saslprep

from rotation.model import Credentials
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.mongo_server import DATABASE, PYTHON, MongoServer
from rotatorctl.local.servers import HOST
from tests.contract.full import PLACES, all_taken
from tests.contract.kept import Kept
from tests.contract.rights import mongo_commands

# One line for each log-in, and one for its answer: to start Python and PyMongo takes longer than all the rest.
CLIENT = """
import json, sys
from pymongo import MongoClient
from pymongo.errors import OperationFailure
for line in sys.stdin:
    with MongoClient(**json.loads(line)) as client:
        try:
            client.admin.command("ping")
            print("let in", flush=True)
        except OperationFailure as refusal:
            if refusal.code != 18:
                raise
            print("refused", flush=True)
"""
# The least that MongoDB can be told to do: a log-in of its 15,000 takes most of its time for them.
# https://www.mongodb.com/docs/manual/reference/parameters/#mongodb-parameter-param.scramSHA256IterationCount
FEWEST_ITERATIONS = 5_000
_ONE_AT_A_TIME = threading.Lock()
_OWN, _ = mongo_commands("mongo itself", {"shop": DATABASE})
# The right to change one's own password is no part of MongoDB's roles for applications.
SELF_CHANGER = {"role": _OWN["createRole"], "db": DATABASE}


@dataclass(frozen=True)
class MongoWorld:
    """SecantusDB; the other client is a MongoClient with nothing but what its user would write."""

    server: MongoServer
    ca_file: Path
    client: "subprocess.Popen[str]"
    admins: Kept[MongoClient[dict[str, Any]]]
    refusal = "refused the log-in of"
    speaks_first = False

    @classmethod
    @contextmanager
    def started(cls, *, tls: bool = True, expired: bool = False, iterations: int = FEWEST_ITERATIONS) -> Iterator[Self]:
        authority = CertificateAuthority.made()
        certificate = authority.server_certificate(expired=expired)
        with (
            TemporaryDirectory() as folder,
            MongoServer.started(
                tls=tls,
                authority=authority,
                certificate=certificate,
                max_connections=PLACES,
                iterations=iterations,
            ) as server,
            subprocess.Popen(
                [PYTHON, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as client,
            closing(Kept(server.admin, lambda: server.pid)) as admins,
        ):
            ca_file = Path(folder, "ca.pem")
            ca_file.write_text(server.ca_pem)
            world = cls(server, ca_file, client, admins)
            if not expired:
                world.run(DATABASE, **_OWN)
            yield world

    @property
    def ca_pem(self) -> str:
        return self.server.ca_pem

    @property
    def port(self) -> int:
        return self.server.port

    def takes(self, name: str) -> bool:
        """SecantusDB does not read back how SCRAM writes a comma and an equals sign (RFC 5802); MongoDB does."""
        return not {",", "="} & set(name)

    def takes_password(self, password: str) -> bool:
        try:
            saslprep(password)
        except (ValueError, IndexError):
            return False
        return True

    def user(self, name: str | None = None, password: str | None = None) -> Credentials:
        return self.user_of(DATABASE, SELF_CHANGER, name=name, password=password)

    def user_of(
        self,
        database: str,
        *roles: Mapping[str, str],
        name: str | None = None,
        password: str | None = None,
        **given: Any,
    ) -> Credentials:
        """A new user of this database with these roles and fields."""
        made = Credentials(
            username=name or f"user-{secrets.token_hex(4)}",
            password=password or f"old-{secrets.token_urlsafe(16)}",
            host=HOST,
            port=self.port,
            dbname=database,
            ssl=bool(self.ca_pem),
        )
        self.run(database, createUser=made.username, pwd=made.password, roles=list(roles), **given)
        return made

    def admin(self, user: Credentials) -> Credentials:
        name, password = f"admin-{secrets.token_hex(4)}", f"its-{secrets.token_urlsafe(16)}"
        role, made = mongo_commands("mongo admin", {"rotator": name, "…": password})
        # SecantusDB asks "changeOwnPassword" of whoever changes any password; MongoDB asks "changePassword".
        role["privileges"][0]["actions"].append("changeOwnPassword")
        self.run("admin", **role)
        self.run("admin", **made)
        return replace(user, username=name, password=password, dbname="admin")

    def refused(self, username: str) -> int:
        return self.server.log().count(f"{self.refusal} {username!r}\n")

    def logs_in(self, credentials: Credentials, mechanism: str = "DEFAULT") -> bool:
        told = {"username": credentials.username, "password": credentials.password, "authSource": credentials.dbname}
        server = {"host": credentials.host, "port": credentials.port, "directConnection": True}
        server["authMechanism"] = mechanism
        tls = {"tls": True, "tlsCAFile": str(self.ca_file)} if credentials.ssl else {}
        assert self.client.stdin
        assert self.client.stdout
        with _ONE_AT_A_TIME:
            self.client.stdin.write(json.dumps({**told, **server, **tls}) + "\n")
            self.client.stdin.flush()
            answer = self.client.stdout.readline()
        assert answer in ("let in\n", "refused\n"), "the client ended"
        return answer == "let in\n"

    def log(self) -> str:
        return self.server.log()

    @contextmanager
    def session(self, credentials: Credentials) -> Iterator[Callable[[], object]]:
        with self.server.connection(credentials.username, credentials.password, credentials.dbname) as client:
            yield lambda: client.admin.command("ping")

    def full(self) -> AbstractContextManager[None]:
        self.admins.close()
        return all_taken(PLACES, self._connected, lambda error: isinstance(error, ConnectionError | ssl.SSLEOFError))

    @contextmanager
    def _connected(self) -> Iterator[None]:
        context = ssl.create_default_context(cadata=self.ca_pem)
        with (
            socket.create_connection((HOST, self.port), 5) as plain,
            context.wrap_socket(plain, server_hostname=HOST),
        ):
            yield

    @contextmanager
    def failing(self, command: str, **failure: Any) -> Iterator[None]:
        """The engine's next command of this name fails in this way; other clients' do not.

        Source: https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point
        """
        data = {"failCommands": [command], "appName": "secret rotation", **failure}
        self.run("admin", configureFailPoint="failCommand", mode={"times": 1}, data=data)
        try:
            yield
        finally:
            self.run("admin", configureFailPoint="failCommand", mode="off")

    def run(self, database: str, **command: Any) -> dict[str, Any]:
        """The answer to a command of the administrator; its first key is the command's name."""
        with self.admins.one() as client:
            return client[database].command(command)
