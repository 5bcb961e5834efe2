"""The MariaDB that other tests rely on refuses what it must refuse."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator

import pymysql
import pytest

from rotatorctl.local import mariadb
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.mariadb import MariaDB
from rotatorctl.local.servers import ServerStartError

pytestmark = pytest.mark.xdist_group("MariaDB server")


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    with MariaDB.started() as running:
        yield running


@pytest.mark.parametrize("password", ["right", "pä'ß\"☃", "back\\slash' --", "'; DROP USER root; --", "🦊"])
def test_the_right_password_logs_in_and_a_wrong_one_is_refused(server: MariaDB, password: str) -> None:
    name = f'o\'brien "{len(password)}" ü'
    server.create_user(name, password)
    assert server.accepts(name, password)
    assert not server.accepts(name, f"{password}!")
    with server.admin() as admin:
        admin.execute("DROP USER %s", (name,))


def test_nobody_is_let_in_without_a_password(server: MariaDB) -> None:
    with server.admin() as admin:
        admin.execute("SELECT user, host FROM mysql.user WHERE authentication_string = '' AND user <> 'mariadb.sys'")
        assert admin.fetchall() == ()
        admin.execute("SELECT host FROM mysql.user WHERE user = 'root'")
        assert admin.fetchall() == (("127.0.0.1",),)
    assert not server.accepts("root", "")
    assert not server.accepts("", "")


def test_a_client_that_trusts_another_authority_refuses_the_server(server: MariaDB) -> None:
    stranger = CertificateAuthority.made().pem
    with (
        pytest.raises(pymysql.OperationalError, match="unable to get local issuer"),
        server.connection(mariadb.ADMIN, server.admin_password, ca_pem=stranger),
    ):
        pass


def test_plaintext_is_refused_by_a_server_with_tls(server: MariaDB) -> None:
    with (
        pytest.raises(pymysql.OperationalError, match="Access denied"),
        server.connection(mariadb.ADMIN, server.admin_password, ca_pem=""),
    ):
        pass


def test_a_server_without_tls_takes_plaintext_and_no_tls() -> None:
    with MariaDB.started(tls=False) as server:
        assert server.accepts(mariadb.ADMIN, server.admin_password)
        with (
            pytest.raises(pymysql.OperationalError, match="server doesn't support it"),
            server.connection(mariadb.ADMIN, server.admin_password, ca_pem=CertificateAuthority.made().pem),
        ):
            pass


def test_an_outage_refuses_connections_and_leaves_users_as_they_were(server: MariaDB) -> None:
    server.create_user("survivor", "same")
    server.stop()
    server.stop()
    with pytest.raises(pymysql.OperationalError, match="refused"):
        server.accepts("survivor", "same")
    server.start()
    assert server.accepts("survivor", "same")
    assert server.accepts(mariadb.ADMIN, server.admin_password)


def test_the_log_shows_statements_but_not_the_passwords_of_created_users(server: MariaDB) -> None:
    server.create_user("logged", "not-to-be-seen")
    with server.connection("logged", "not-to-be-seen") as cursor:
        cursor.execute("SELECT 'a statement to be seen'")
    assert "a statement to be seen" in server.log()
    assert "not-to-be-seen" not in server.log()
    assert server.admin_password not in server.log()
    assert server.admin_password not in repr(server)


def test_nothing_is_left_when_the_block_ends() -> None:
    with MariaDB.started() as server:
        folder = server.folder
        arguments = _arguments_below(str(folder))
        assert arguments
        assert server.admin_password not in arguments
    assert not folder.exists()
    assert not _arguments_below(str(folder))


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(
    server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb, "free_port", lambda: server.port)
    with pytest.raises(ServerStartError, match="Address already in use"), MariaDB.started():
        pass


def test_a_machine_without_mariadb_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with (
        pytest.raises(ServerStartError, match=r"mariadb-install-db is not .* the package mariadb-server"),
        MariaDB.started(),
    ):
        pass


def test_a_client_refuses_an_expired_certificate() -> None:
    authority = CertificateAuthority.made()
    with (
        MariaDB.started(authority=authority, certificate=authority.server_certificate(expired=True)) as server,
        pytest.raises(pymysql.OperationalError, match="expired") as error,
        server.admin(),
    ):
        pass
    assert isinstance(error.value.original_exception, ssl.SSLCertVerificationError)  # type: ignore[attr-defined]  # no stub


def _arguments_below(folder: str) -> str:
    """The command lines of all processes that mention this folder."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listing.splitlines() if folder in line)
