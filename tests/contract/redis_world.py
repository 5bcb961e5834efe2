"""The world of the engine `redis`: Redis with TLS, or Valkey without."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from rotation.model import Credentials
from rotatorctl.local import servers
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.redis_server import RedisServer, UsersIn
from tests.contract.rights import least_rights

# What a user needs to change its own password where the server has an ACL file.
LEAST = tuple(least_rights("redis itself", {})[0].split(" ")[3:])
# The servers' own log holds no commands; these are asked of it, each command with what the server does not redact.
_LOGS = (("SLOWLOG", "GET", "-1"), ("ACL", "LOG", "1000"))
_EVERY_COMMAND = "slowlog-log-slower-than 0\nslowlog-max-len 100000\n"


@dataclass(frozen=True)
class RedisWorld:
    """The other client is redis-cli, that is hiredis."""

    server: RedisServer
    ca_file: Path
    # The reason in an entry of ACL LOG.
    refusal = "b'auth'"
    speaks_first = False

    @classmethod
    @contextmanager
    def started(
        cls,
        *,
        tls: bool = True,
        expired: bool = False,
        kind: type[RedisServer] = RedisServer,
        users_in: UsersIn = "acl file",
        settings: str = "",
    ) -> Iterator[Self]:
        authority = CertificateAuthority.made()
        certificate = authority.server_certificate(expired=expired)
        with (
            TemporaryDirectory() as folder,
            kind.started(
                tls=tls,
                authority=authority,
                certificate=certificate,
                users_in=users_in,
                settings=_EVERY_COMMAND + settings,
            ) as server,
        ):
            ca_file = Path(folder, "ca.pem")
            ca_file.write_text(server.ca_pem)
            yield cls(server, ca_file)

    @property
    def ca_pem(self) -> str:
        return self.server.ca_pem

    @property
    def port(self) -> int:
        return self.server.port

    def takes(self, name: str) -> bool:
        return not set(name) & set("\0\t\n\v\f\r ")

    def takes_password(self, password: str) -> bool:
        return True

    def user(self, name: str | None = None, password: str | None = None, rules: tuple[str, ...] = LEAST) -> Credentials:
        made = Credentials(
            username=name or f"user-{secrets.token_hex(4)}",
            password=password or f"old-{secrets.token_urlsafe(16)}",
            host=servers.HOST,
            port=self.port,
            ssl=bool(self.ca_pem),
        )
        self.server.create_user(made.username, made.password, *rules)
        return made

    def logs_in(self, credentials: Credentials) -> bool:
        told = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": credentials.password}
        where = ["-h", credentials.host, "-p", str(credentials.port), "--user", credentials.username]
        tls = ["--tls", "--cacert", str(self.ca_file)] if credentials.ssl else []
        client = subprocess.run(
            ["redis-cli", *where, *tls, "ACL", "WHOAMI"], env=told, capture_output=True, text=True, check=False
        )
        # Who is let in needs not have the right to ask who it is.
        let_in = client.stdout.strip() == credentials.username or client.stdout.startswith("NOPERM")
        assert let_in or "WRONGPASS" in client.stderr, client
        return let_in

    def admin(self, user: Credentials) -> Credentials:
        admin = replace(user, username=f"admin-{secrets.token_hex(4)}", password=f"its-{secrets.token_urlsafe(16)}")
        for line in least_rights("redis admin", {"rotator": admin.username, "…": admin.password}):
            self.asked(*line.split(" "))
        return admin

    def refused(self, username: str) -> int:
        entries = [dict(zip(each[::2], each[1::2], strict=True)) for each in self.asked("ACL", "LOG", "1000")]
        of_user = [each for each in entries if each[b"reason"] == b"auth" and each[b"username"] == username.encode()]
        return sum(int(each[b"count"]) for each in of_user)

    def log(self) -> str:
        return self.server.log() + repr([self.asked(*log) for log in _LOGS])

    @contextmanager
    def session(self, credentials: Credentials) -> Iterator[Callable[[], object]]:
        with self.server.connection(credentials.username, credentials.password) as connection:

            def still_answers() -> object:
                return connection.execute_command("ACL", "GETUSER", credentials.username)

            still_answers()
            yield still_answers

    @contextmanager
    def full(self) -> Iterator[None]:
        with self.server.admin() as admin:
            admin.config_set("maxclients", 1)
            yield
            admin.config_set("maxclients", 1000)

    def asked(self, *command: str) -> Any:
        """The answer to a command of the user who may do everything."""
        with self.server.admin() as admin:
            return admin.execute_command(*command)

    def rules(self, user: str) -> str:
        """This user's line of ACL LIST, with everything that the server knows of it."""
        lines: list[str] = [line.decode() for line in self.asked("ACL", "LIST")]
        return next(line for line in lines if line.split(" ")[1] == user)
