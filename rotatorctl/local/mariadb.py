"""A real MariaDB on the loopback interface, from the system's package."""

import hashlib
import secrets
import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pymysql

from rotatorctl.local.certificates import CertificateAuthority, ServerCertificate
from rotatorctl.local.servers import HOST, Account, ServerProcess, ServerStartError, free_port, temporary_folder

ADMIN = "root"
_ACCESS_DENIED = 1045
_READY = "ready for connections"
# Small: the defaults reserve 100 MB on disk and 400 MB of memory.
_SMALL = (
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=16M",
    "--aria-pagecache-buffer-size=8M",
    "--key-buffer-size=1M",
)


@dataclass
class MariaDB:
    """A running MariaDB with its data in a folder of its own.

    Its log holds every log-in and every statement as the server received it.
    `ca_pem` is the authority to trust, empty if the server speaks no TLS.
    """

    port: int
    ca_pem: str
    folder: Path
    admin_password: str = field(repr=False)
    _process: ServerProcess = field(repr=False)
    _options: list[str] = field(default_factory=list, repr=False)

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
        with temporary_folder("mariadb") as folder:
            account.own(folder)
            process = ServerProcess(account, folder / "server.log")
            server = cls(free_port(), authority.pem if tls else "", folder, secrets.token_urlsafe(24), process)
            server._initialize(max_connections)
            if tls:
                server._require_tls(certificate or authority.server_certificate())
            first_statements = server._secured()
            server.start(f"--init-file={first_statements}")
            first_statements.unlink()
            try:
                yield server
            finally:
                server.stop()

    def start(self, *options: str) -> None:
        """Start it, again if it was stopped, on the same port; returns when it accepts log-ins."""
        command = [_program("mariadbd"), "--no-defaults", *self._options, *options]
        self._process.start(command, lambda written: _READY in written)

    @property
    def pid(self) -> int:
        """The number of the running server's process."""
        return self._process.pid

    def stop(self) -> None:
        """An orderly shutdown, as an outage: sessions are cut, the port refuses. Nothing happens if it is stopped."""
        self._process.stop()

    @contextmanager
    def connection(self, user: str, password: str, ca_pem: str | None = None) -> Iterator[Any]:
        """A cursor of a connection that trusts `ca_pem` (else the server's own authority) and nothing else.

        An empty `ca_pem` asks for no TLS. Raises what PyMySQL raises.
        """
        trusted = self.ca_pem if ca_pem is None else ca_pem
        tls: dict[str, Any] = {"ssl": ssl.create_default_context(cadata=trusted)} if trusted else {"ssl_disabled": True}
        connection = pymysql.connect(
            host=HOST,
            port=self.port,
            user=user,
            # PyMySQL encodes a text as latin1, which is not what servers and other clients do.
            password=password.encode(),
            connect_timeout=10,
            read_timeout=20,
            autocommit=True,
            **tls,
        )
        with closing(connection), connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A cursor of the administrator. What it runs is logged too."""
        with self.connection(ADMIN, self.admin_password) as cursor:
            yield cursor

    def create_user(self, name: str, password: str, host: str = "%") -> None:
        """A user who can log in. The server gets a hash, so that its log does not hold the password."""
        with self.admin() as admin:
            admin.execute(
                "CREATE USER %s@%s IDENTIFIED VIA mysql_native_password USING %s", (name, host, hash_of(password))
            )

    def accepts(self, user: str, password: str) -> bool:
        """Whether this password logs in: False if the server refuses it (1045), any other trouble is raised."""
        try:
            with self.connection(user, password):
                return True
        except pymysql.OperationalError as error:
            if error.args[0] != _ACCESS_DENIED:
                raise
            return False

    def log(self) -> str:
        """What the server has logged so far: its messages, then every log-in and statement."""
        general = self.folder / "general.log"
        logged = general.read_text(encoding="utf-8", errors="replace") if general.exists() else ""
        return self._process.log() + logged

    def _initialize(self, max_connections: int) -> None:
        data = self.folder / "data"
        self._process.account.run(
            [_program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-name-resolve"],
            # Not /tmp: a MariaDB that starts removes every temporary table there, also those of another that starts.
            ["--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={self.folder}", *_SMALL],
        )
        self._options += [
            f"--datadir={data}",
            f"--socket={self.folder}/server.sock",
            f"--pid-file={self.folder}/server.pid",
            f"--tmpdir={self.folder}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            "--skip-name-resolve",
            f"--max-connections={max_connections}",
            "--general-log",
            f"--general-log-file={self.folder}/general.log",
            "--plugin-load-add=auth_ed25519",
            "--innodb-flush-log-at-trx-commit=0",
            *_SMALL,
        ]

    def _secured(self) -> Path:
        """The statements of the first start: a new MariaDB has administrators without a password."""
        hashed = hash_of(self.admin_password)
        return self._process.account.file(
            self.folder / "first.sql",
            f"DELETE FROM mysql.global_priv WHERE Host <> '{HOST}' AND User <> 'mariadb.sys';\n"
            "DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';\n"
            f"UPDATE mysql.proxies_priv SET Host = '{HOST}';\n"
            "FLUSH PRIVILEGES;\n"
            f"ALTER USER {ADMIN}@'{HOST}' IDENTIFIED VIA mysql_native_password USING '{hashed}';\n",
        )

    def _require_tls(self, certificate: ServerCertificate) -> None:
        chain = self._process.account.file(self.folder / "server.crt", certificate.certificate_pem)
        key = self._process.account.file(self.folder / "server.key", certificate.key_pem)
        self._options += [f"--ssl-cert={chain}", f"--ssl-key={key}", "--require-secure-transport"]


def _program(name: str) -> str:
    # Debian keeps servers in /usr/sbin, which is not on everybody's path.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/libexec:/usr/local/sbin")
    if found is None:
        raise ServerStartError(f"{name} is not installed; Debian and Ubuntu have it in the package mariadb-server.")
    return found


def hash_of(password: str) -> str:
    """What mysql_native_password stores."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()
