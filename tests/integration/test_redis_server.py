"""The Redis and the Valkey that other tests rely on refuse what they must refuse."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from rotatorctl.local import redis_server
from rotatorctl.local.certificates import CertificateAuthority
from rotatorctl.local.redis_server import RedisServer, UsersIn, ValkeyServer
from rotatorctl.local.servers import HOST, ServerStartError

pytestmark = pytest.mark.xdist_group("Redis server")


@pytest.fixture(scope="module", params=[RedisServer, ValkeyServer])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    kind: type[RedisServer] = request.param
    with kind.started(tls=kind is RedisServer) as running:
        yield running


def test_the_right_password_logs_in_and_a_wrong_one_is_refused(server: RedisServer) -> None:
    server.create_user("app", "right", "+ping")

    with server.connection("app", "right") as connection:
        assert connection.ping()
    with pytest.raises(redis.AuthenticationError), server.connection("app", "wrong"):
        pass


def test_nobody_gets_in_without_a_log_in_or_by_another_interface(server: RedisServer) -> None:
    with pytest.raises(redis.AuthenticationError), server.connection("default", ""):
        pass
    with server.admin() as admin:
        assert admin.config_get("bind") == {"bind": HOST}


def test_a_client_that_trusts_another_authority_refuses_the_server() -> None:
    with RedisServer.started() as server:
        server.ca_pem = CertificateAuthority.made().pem
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"), server.admin():
            pass


def test_an_outage_refuses_connections_and_leaves_users_as_they_were(server: RedisServer) -> None:
    server.create_user("survivor", "same", "+ping")
    with server.admin() as admin:
        admin.acl_save()

    server.stop()
    with pytest.raises(redis.ConnectionError, match="refused"), server.connection("survivor", "same"):
        pass
    server.start()

    with server.connection("survivor", "same") as connection:
        assert connection.ping()


@pytest.mark.parametrize("users_in", ["acl file", "configuration", "memory"])
def test_the_admins_password_stands_in_no_process_argument_and_nothing_is_left(users_in: UsersIn) -> None:
    with RedisServer.started(users_in=users_in) as server:
        folder = server.folder
        # Where the configuration comes by standard input, the server names itself by its port alone.
        running = [line for line in _processes() if f":{server.port}" in line]
        assert running
        assert not [line for line in _processes() if server.admin_password in line]
        assert server.admin_password not in repr(server)
        assert {path.stat().st_mode & 0o077 for path in folder.iterdir() if path.name != "server.log"} == {0}

    assert not folder.exists()
    assert not [line for line in _processes() if line in running]


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer.started() as occupant:
        monkeypatch.setattr(redis_server, "free_port", lambda: occupant.port)
        with pytest.raises(ServerStartError, match="Address already in use"), RedisServer.started():
            pass


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServerStartError, match="apt-get install redis-server"), RedisServer.started():
        pass


def _processes() -> list[str]:
    """The command lines of all processes; Redis shows there where it listens."""
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid,args"], capture_output=True, text=True, check=True).stdout
    return listing.splitlines()
