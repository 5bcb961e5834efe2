"""The PostgreSQL that other tests rely on refuses what it must refuse."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pg8000.native
import pytest

from rotatorctl.local import postgresql
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.postgresql import PostgreSQL
from rotatorctl.local.servers import ServerStartError

pytestmark = pytest.mark.xdist_group("PostgreSQL server")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL.started() as running:
        yield running


def test_the_right_password_logs_in_and_a_wrong_one_is_refused(server: PostgreSQL) -> None:
    server.create_user("app", "right")
    with server.connection("app", "right") as connection:
        assert connection.run("SELECT current_user") == [["app"]]
    with pytest.raises(pg8000.native.DatabaseError) as refusal, server.connection("app", "wrong"):
        pass
    assert refusal.value.args[0]["C"] == "28P01"
    assert server.accepts("app", "right")
    assert not server.accepts("app", "wrong")


@pytest.mark.parametrize("password", ["pä'ß\"☃", "back\\slash' --", "'; DROP ROLE postgres; --"])  # fmt: skip
def test_a_password_may_hold_quotes_backslashes_and_unicode(server: PostgreSQL, password: str) -> None:
    name = f'o\'brien "{len(password)}" ü'
    server.create_user(name, password)
    assert server.accepts(name, password)


def test_a_client_that_trusts_another_authority_refuses_the_server(server: PostgreSQL) -> None:
    stranger = CertificateAuthority.made().pem
    with (
        pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"),
        server.connection(postgresql.ADMIN, server.admin_password, ca_pem=stranger),
    ):
        pass


def test_a_client_refuses_an_expired_certificate() -> None:
    authority = CertificateAuthority.made()
    with (
        PostgreSQL.started(authority=authority, certificate=authority.server_certificate(expired=True)) as server,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
        server.admin(),
    ):
        pass


def test_plaintext_is_refused_by_a_server_with_tls(server: PostgreSQL) -> None:
    with (
        pytest.raises(pg8000.native.DatabaseError) as refusal,
        server.connection(postgresql.ADMIN, server.admin_password, ca_pem=""),
    ):
        pass
    assert refusal.value.args[0]["C"] == "28000"


def test_a_server_without_tls_takes_plaintext_and_no_tls() -> None:
    with PostgreSQL.started(tls=False) as server:
        assert server.accepts(postgresql.ADMIN, server.admin_password)
        with (
            pytest.raises(pg8000.native.InterfaceError, match="refuses SSL"),
            server.connection(postgresql.ADMIN, server.admin_password, ca_pem=CertificateAuthority.made().pem),
        ):
            pass


def test_an_outage_refuses_connections_and_leaves_users_as_they_were(server: PostgreSQL) -> None:
    server.create_user("survivor", "same")
    server.stop()
    with pytest.raises(pg8000.native.InterfaceError, match="Can't create a connection"):
        server.accepts("survivor", "same")
    server.start()
    assert server.accepts("survivor", "same")


def test_the_log_shows_statements_but_not_the_passwords_of_created_users(server: PostgreSQL) -> None:
    server.create_user("logged", "not-to-be-seen")
    with server.connection("logged", "not-to-be-seen") as connection:
        connection.run("SELECT 'a statement to be seen'")
    assert "a statement to be seen" in server.log()
    assert "not-to-be-seen" not in server.log()
    assert server.admin_password not in server.log()
    assert server.admin_password not in repr(server)


def test_more_log_ins_than_max_connections_are_refused() -> None:
    with PostgreSQL.started(max_connections=4) as server, server.admin():
        server.create_user("app", "right")
        with pytest.raises(pg8000.native.DatabaseError) as refusal, server.connection("app", "right"):
            pass
    assert refusal.value.args[0]["C"] == "53300"


def test_nothing_is_left_when_the_block_ends() -> None:
    with PostgreSQL.started() as server:
        folder, port = server.folder, server.port
        arguments = _arguments_below(folder)
        assert arguments
        assert server.admin_password not in arguments
    assert not folder.exists()
    assert not _arguments_below(folder)
    with PostgreSQL.started() as other:
        assert (other.folder, other.port) != (folder, port)


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with PostgreSQL.started() as occupant:
        monkeypatch.setattr(postgresql, "free_port", lambda: occupant.port)
        with pytest.raises(ServerStartError, match="Address already in use"), PostgreSQL.started():
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")
def test_root_may_keep_the_binaries_where_nobody_else_can_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    original = postgresql._binaries()
    shutil.copytree(original.parent, private / "pginstall")
    monkeypatch.setattr(postgresql, "_binaries", lambda: private / "pginstall" / "bin")
    with PostgreSQL.started() as server:
        assert server.accepts(postgresql.ADMIN, server.admin_password)


def _arguments_below(folder: Path) -> str:
    """The command lines of all processes that mention this folder."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listing.splitlines() if str(folder) in line)
