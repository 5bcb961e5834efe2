"""A server that speaks MongoDB's protocol, on the loopback interface: SecantusDB, which is not MongoDB."""

import secrets
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient

from rotatorctl.local.certificates import CertificateAuthority, ServerCertificate
from rotatorctl.local.servers import HOST, Account, ServerProcess, ServerStartError, free_port, temporary_folder

ADMIN = "admin"
DATABASE = "admin"
# The set of one member that this server says it is.
REPLICA_SET = "secantus"
# SecantusDB's licence is the GPL, so it runs as a process of its own from an environment of its own.
PYTHON = Path(__file__).parents[2] / ".venv-mongo" / "bin" / "python"
# As `python -m secantus`, which has no option for these two: how many connections, and how many iterations of SCRAM.
# Its log has no line for a log-in that it refuses; this adds one.
_SECANTUS = """
import functools, sys
from secantus import auth, cli, commands
def logged(answer):
    def proof(state, payload):
        try:
            return answer(state, payload)
        except commands.AuthError:
            print("refused the log-in of", repr(state.username), file=sys.stderr, flush=True)
            raise
    return proof
commands.continue_scram = logged(commands.continue_scram)
cli.SecantusDBServer = functools.partial(cli.SecantusDBServer, max_connections=int(sys.argv.pop(1)))
if iterations := int(sys.argv.pop(1)):
    for mechanism in auth._MECH_PARAMS.values():
        mechanism["default_iterations"] = iterations
sys.exit(cli.main())
"""


@dataclass
class MongoServer:
    """A running SecantusDB with its data in a folder of its own, as a replica set of one member.

    Its log holds the log-ins that it refused, and no commands. The administrator may arm the failpoint `failCommand`.
    `ca_pem` is the authority to trust, empty if the server speaks no TLS.
    """

    port: int
    ca_pem: str
    admin_password: str = field(repr=False)
    _process: ServerProcess = field(repr=False)
    _options: list[str] = field(repr=False)

    @classmethod
    @contextmanager
    def started(
        cls,
        *,
        tls: bool = True,
        authority: CertificateAuthority | None = None,
        certificate: ServerCertificate | None = None,
        max_connections: int = 100,
        iterations: int = 0,
    ) -> Iterator[Self]:
        """A server that ends with the block, its folder with it.

        With `tls` it takes connections inside TLS only, by `certificate` or by one that `authority` (else a new one)
        makes for it; without, it speaks no TLS at all. `iterations` are SCRAM's, with 0 as many as MongoDB makes by
        itself. Raises ServerStartError.
        """
        authority = authority or CertificateAuthority.made()
        with temporary_folder("mongo") as folder:
            server = cls(
                port=free_port(),
                ca_pem=authority.pem if tls else "",
                admin_password=secrets.token_urlsafe(24),
                _process=ServerProcess(Account(None, None), folder / "server.log"),
                _options=[str(max_connections), str(iterations), "--enable-test-commands"],
            )
            server._options += ["--cache-size", "64M", "--sync-on-commit"]
            server._options += ["--host", HOST, "--port", str(server.port), "--storage-path", str(folder / "data")]
            server._make_admin()
            server._options.append("--auth")
            if tls:
                server._require_tls(folder, certificate or authority.server_certificate())
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        """Start it, again if it was stopped, on the same port; returns when it accepts log-ins."""
        if not PYTHON.exists():
            raise ServerStartError("SecantusDB is not installed in .venv-mongo; run `make setup`.")
        self._process.start([PYTHON, "-c", _SECANTUS, *self._options], lambda written: "listening on" in written)

    @property
    def pid(self) -> int:
        """The number of the running server's process."""
        return self._process.pid

    def stop(self) -> None:
        """End it at once, as an outage: sessions are cut, the port refuses. Nothing happens if it is stopped."""
        # Asked to end, it would wait two seconds for its next connection. What it confirmed is on the disk.
        self._process.stop(signal.SIGKILL)

    @contextmanager
    def connection(self, user: str, password: str, database: str = DATABASE) -> Iterator[MongoClient[dict[str, Any]]]:
        """A client logged in as a user of this database. Raises what PyMongo raises."""
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as ca_file:
            ca_file.write(self.ca_pem)
            ca_file.flush()
            trust = {"tls": True, "tlsCAFile": ca_file.name} if self.ca_pem else {}
            with self._client(username=user, password=password, authSource=database, **trust) as client:
                client.admin.command("ping")
                yield client

    @contextmanager
    def admin(self) -> Iterator[MongoClient[dict[str, Any]]]:
        """A client of the administrator."""
        with self.connection(ADMIN, self.admin_password) as client:
            yield client

    def create_user(
        self, name: str, password: str, database: str = DATABASE, roles: list[Mapping[str, str]] | None = None
    ) -> None:
        """A user who can log in, and can do what these roles allow."""
        with self.admin() as client:
            client[database].command("createUser", name, pwd=password, roles=roles or [])

    def log(self) -> str:
        """What the server has logged so far."""
        return self._process.log()

    def _make_admin(self) -> None:
        # Without --auth, because a server without users has nobody who could make one.
        self.start()
        try:
            with self._client() as client:
                client.admin.command("createUser", ADMIN, pwd=self.admin_password, roles=["root"])
        finally:
            self.stop()

    def _client(self, **options: Any) -> MongoClient[dict[str, Any]]:
        return MongoClient(HOST, self.port, directConnection=True, serverMonitoringMode="poll", **options)

    def _require_tls(self, folder: Path, certificate: ServerCertificate) -> None:
        files = {"cert": certificate.certificate_pem, "key": certificate.key_pem}
        for kind, pem in files.items():
            file = Account(None, None).file(folder / f"server.{kind}", pem)
            self._options += [f"--tls-{kind}-file", str(file)]
