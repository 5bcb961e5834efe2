"""The admin secret: whose server it is for, where RDS keeps that, and that it is sent to no other."""

import json
import random
import secrets
import socket
import string
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest

from rotation import rds
from rotation.model import Credentials
from rotatorctl.local.secrets_manager import Silences
from rotatorctl.local.servers import HOST
from tests.contract.mongo_world import MongoWorld
from tests.contract.worlds import PostgresWorld
from tests.workflow.conftest import RotatedSecret, create_secret
from tests.workflow.machine import ADMIN, FunctionFailedError, Machine, running

# The endpoints that moto's RDS makes up; in a cluster's it draws twelve characters.
_DRAWN = "".join(map(random.Random(0).choice, [string.ascii_lowercase + string.digits] * 12))
ENDPOINTS = [f"orders.{part}.eu-central-1.rds.amazonaws.com" for part in ("aaaaaaaaaa", f"cluster-{_DRAWN}")]
INSTANCE, CLUSTER = "aws:rds:primaryDBInstanceArn", "aws:rds:primaryDBClusterArn"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresWorld]:
    """PostgreSQL under the names that RDS gives its endpoints."""
    with PostgresWorld.started(names=ENDPOINTS) as world:
        yield world


@dataclass
class Setting:
    """A machine, an application's user and its admin on the server; secrets are made by each test."""

    machine: Machine
    server: PostgresWorld
    app: Credentials
    admin: Credentials

    def secret(self, name: str, user: Credentials, tags: dict[str, str], **fields: Any) -> str:
        value = {"username": user.username, "password": user.password} | fields
        return create_secret(self.machine, name, json.dumps(value), tags)

    def application(
        self, admin_arn: str, host: str, port: int, tags: dict[str, str] | None = None, **fields: Any
    ) -> str:
        fields |= {"engine": "postgres", "host": host, "port": port, "masterarn": admin_arn}
        return self.secret("app", self.app, tags or {}, **fields)

    def rotate(self, arn: str) -> str:
        return RotatedSecret(self.machine, arn).rotate()

    def reason(self) -> tuple[str, str]:
        _, error, words = RotatedSecret(self.machine, "").reason()
        return error, words


@pytest.fixture
def setting(server: PostgresWorld, definition: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    monkeypatch.setenv("PRIVATE_CA", server.ca_pem)
    resolve = socket.getaddrinfo

    def at_home(host: Any, *others: Any, **more: Any) -> Any:
        return resolve(HOST if str(host).endswith(".rds.amazonaws.com") else host, *others, **more)

    app = server.user(f"app {secrets.token_hex(4)}")
    with running(Silences(), definition) as machine:
        rds._client.cache_clear()
        monkeypatch.setattr(socket, "getaddrinfo", at_home)
        monkeypatch.setattr("moto.rds.models.random", random.Random(0))
        yield Setting(machine, server, app, server.admin(app))


def new_user_logs_in(setting: Setting, arn: str) -> bool:
    value = json.loads(setting.machine.secrets_manager.get_secret_value(SecretId=arn)["SecretString"])
    assert value["username"] == f"{setting.app.username}_clone"
    return setting.server.logs_in(replace(setting.app, username=value["username"], password=value["password"]))


def test_an_admin_secret_that_rds_manages_for_an_instance_needs_no_host(setting: Setting) -> None:
    made = boto3.client("rds").create_db_instance(
        DBInstanceIdentifier="orders", DBInstanceClass="db.t4g.micro", Engine="postgres", Port=setting.server.port,
        MasterUsername="admin", ManageMasterUserPassword=True, AllocatedStorage=20,
    )["DBInstance"]  # fmt: skip
    admin = setting.secret("rds!db-orders", setting.admin, ADMIN | {INSTANCE: made["DBInstanceArn"]})
    arn = setting.application(admin, made["Endpoint"]["Address"], setting.server.port)

    assert setting.rotate(arn) == "RotationSucceeded"

    assert new_user_logs_in(setting, arn)


def test_for_a_cluster_the_secret_may_name_the_reader_endpoint(setting: Setting) -> None:
    made = boto3.client("rds").create_db_cluster(
        DBClusterIdentifier="orders", Engine="aurora-postgresql", Port=setting.server.port, MasterUsername="admin",
        ManageMasterUserPassword=True,
    )["DBCluster"]  # fmt: skip
    admin = setting.secret("rds!cluster-orders", setting.admin, ADMIN | {CLUSTER: made["DBClusterArn"]})
    assert ".cluster-ro-" in made["ReaderEndpoint"]
    arn = setting.application(admin, made["ReaderEndpoint"], setting.server.port)

    assert setting.rotate(arn) == "RotationSucceeded"

    assert new_user_logs_in(setting, arn)
    value = json.loads(setting.machine.secrets_manager.get_secret_value(SecretId=arn)["SecretString"])
    assert value["host"] == made["ReaderEndpoint"]


def test_an_admin_secret_without_a_host_that_is_none_of_rds_is_named(setting: Setting) -> None:
    arn = setting.application(setting.secret("admin", setting.admin, ADMIN), HOST, setting.server.port)

    assert setting.rotate(arn) == "RotationFailed"

    error, reason = setting.reason()
    assert error == "InvalidSecretError"
    assert reason.startswith(
        "the admin secret that 'masterarn' names: it holds no 'host', and is none that RDS manages"
    )


def test_an_instance_that_is_gone_is_named(setting: Setting) -> None:
    gone = "arn:aws:rds:eu-central-1:123456789012:db:gone"
    arn = setting.application(
        setting.secret("admin", setting.admin, ADMIN | {INSTANCE: gone}), HOST, setting.server.port
    )

    assert setting.rotate(arn) == "RotationFailed"

    error, reason = setting.reason()
    assert error == "InvalidSecretError"
    assert reason == f"the admin secret that 'masterarn' names: it is managed for {gone}, which does not exist"


# AuthenticationCleartextPassword and ErrorResponse: https://www.postgresql.org/docs/current/protocol-message-formats.html
ASKS_FOR_THE_PASSWORD = b"R" + struct.pack("!ii", 8, 3)
REFUSES = b"E" + struct.pack("!i", 23) + b"SFATAL\0C28P01\0Mno\0\0"


@pytest.fixture
def elsewhere() -> Iterator[tuple[int, list[bytes]]]:
    """The port of somebody who asks whoever connects for the password and refuses it, and what each connection sent."""
    heard: list[bytes] = []
    with closing(socket.create_server((HOST, 0))) as listener:

        def listen() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    for answer in (ASKS_FOR_THE_PASSWORD, REFUSES):
                        heard.append(client.recv(1000))
                        client.sendall(answer)

        thread = threading.Thread(target=listen)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_poisoned_host_in_the_applications_secret_hears_its_own_credential_and_nothing_of_the_admins(
    setting: Setting, elsewhere: tuple[int, list[bytes]]
) -> None:
    port, heard = elsewhere
    admin = setting.secret("admin", setting.admin, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    # Without TLS a log-in is heard whole.
    arn = setting.application(admin, "localhost", port, ssl=False)

    assert setting.rotate(arn) == "RotationFailed"

    assert setting.reason()[0] == "InvalidSecretError"
    # RollBack looks whether the application's own credential logs in.
    said = b"".join(heard)
    values = {"app": setting.app.username, "app's password": setting.app.password}
    values |= {"admin": setting.admin.username, "admin's password": setting.admin.password}
    assert {whose for whose, value in values.items() if value.encode() in said} == {"app", "app's password"}


def test_the_message_about_a_poisoned_host_names_both_servers(setting: Setting, elsewhere: tuple[int, Any]) -> None:
    port, _ = elsewhere
    admin = setting.secret("admin", setting.admin, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    arn = setting.application(admin, "localhost", port)

    assert setting.rotate(arn) == "RotationFailed"

    error, reason = setting.reason()
    assert error == "InvalidSecretError"
    assert f"the admin secret is for user '{setting.admin.username}' at {HOST}:{setting.server.port}" in reason
    assert f"this secret for user '{setting.app.username}' at localhost:{port}" in reason
    assert "nothing was sent" in reason


def test_an_admin_secret_for_another_engine_is_refused(setting: Setting) -> None:
    admin = setting.secret("admin", setting.admin, ADMIN, engine="generic", host=HOST, port=setting.server.port)
    arn = setting.application(admin, HOST, setting.server.port)

    assert setting.rotate(arn) == "RotationFailed"

    assert setting.reason() == (
        "InvalidSecretError", "the admin secret is for engine 'generic', this secret for another one",
    )  # fmt: skip


@pytest.mark.parametrize(
    "value",
    ["just-a-password", '{"username": "admin"}', '["admin"]', '{"host": "h", "engine": {"is": "just-a-password"}}'],
)
def test_an_admin_secret_that_cannot_be_used_is_named_and_not_quoted(setting: Setting, value: str) -> None:
    arn = setting.application(create_secret(setting.machine, "admin", value, ADMIN), HOST, setting.server.port)

    assert setting.rotate(arn) == "RotationFailed"

    error, reason = setting.reason()
    assert error == "InvalidSecretError"
    assert reason.startswith("the admin secret")
    assert "just-a-password" not in reason


def test_an_admin_who_is_one_of_the_two_users_is_refused(setting: Setting) -> None:
    admin = setting.secret("admin", setting.app, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    arn = setting.application(admin, HOST, setting.server.port)

    assert setting.rotate(arn) == "RotationFailed"

    assert "one of the two users that alternate" in setting.reason()[1]


def test_a_name_that_leaves_no_room_for_the_second_user_is_refused_before_anything_changes(setting: Setting) -> None:
    long = setting.server.user("n" * 58)
    admin = setting.secret("admin", setting.admin, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    arn = replace(setting, app=long).application(admin, HOST, setting.server.port)

    assert setting.rotate(arn) == "RotationFailed"

    assert "the server takes 63 bytes for a name" in setting.reason()[1]
    assert setting.server.logs_in(long)


SINGLE_USER = {"rotation:strategy": "single-user"}


@pytest.mark.parametrize("tags", [{}, SINGLE_USER], ids=["alternating users", "single user"])
def test_the_admin_changes_nobody_whose_credential_the_secret_does_not_hold(
    setting: Setting, tags: dict[str, str]
) -> None:
    victim, guess = setting.app, replace(setting.app, password="a guess")
    admin = setting.secret("admin", setting.admin, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    arn = replace(setting, app=guess).application(admin, HOST, setting.server.port, tags)
    before = setting.server.verifier(victim)

    assert setting.rotate(arn) == "RotationFailed"
    RotatedSecret(setting.machine, arn).retry()

    assert setting.server.verifier(victim) == before
    assert setting.server.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{victim.username}_clone'") == []
    assert setting.reason()[0] == "LoginRefusedError"


def test_an_admin_who_is_refused_is_named_as_such_and_tried_once(setting: Setting) -> None:
    wrong = replace(setting.admin, password="a wrong one")
    admin = setting.secret("admin", wrong, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    arn = setting.application(admin, HOST, setting.server.port, SINGLE_USER)

    assert setting.rotate(arn) == "RotationFailed"

    error, reason = setting.reason()
    assert error == "InvalidSecretError"
    assert reason.startswith(f"the credential in the admin secret is refused: user '{setting.admin.username}'")
    assert setting.server.refused(setting.admin.username) == 1
    assert setting.server.refused(setting.app.username) == 0
    assert setting.server.logs_in(setting.app)


@pytest.mark.parametrize("change", ["PASSWORD 'changed by hand'", "CONNECTION LIMIT 0"], ids=["refused", "unavailable"])
def test_a_rollback_without_the_admin_is_done_by_the_user_itself(setting: Setting, change: str) -> None:
    admin = setting.secret("admin", setting.admin, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    arn = setting.application(admin, HOST, setting.server.port, SINGLE_USER)

    def lock_admin_out(handler: Any) -> Any:
        def called(event: Any, context: Any) -> Any:
            setting.server.sql(f'ALTER ROLE "{setting.admin.username}" {change}')
            raise FunctionFailedError("KeyError", "made to fail by a test")

        return called

    setting.machine.handlers["FinishSecret"] = lock_admin_out(setting.machine.handlers["FinishSecret"])

    assert setting.rotate(arn) == "RotationFailed"

    (message,) = setting.machine.messages()
    assert json.loads(message["Message"])["outcome"] == "rolled back"
    assert setting.server.logs_in(setting.app)


def test_an_admin_who_is_not_available_costs_no_log_in_of_the_user(setting: Setting) -> None:
    dead, alive = replace(setting.app, password="of no use"), setting.app
    admin = setting.secret("admin", setting.admin, ADMIN, engine="postgres", host=HOST, port=setting.server.port)
    arn = setting.application(admin, HOST, setting.server.port, SINGLE_USER)
    secret = RotatedSecret(setting.machine, arn)
    value = json.dumps(secret.value() | {"password": dead.password})
    setting.machine.secrets_manager.put_secret_value(SecretId=arn, SecretString=value)
    setting.server.sql(f'ALTER ROLE "{setting.admin.username}" CONNECTION LIMIT 0')

    assert secret.rotate() == "RotationFailed"

    assert secret.reason()[1] == "UnavailableError"
    assert setting.server.refused(setting.app.username) <= 2
    setting.server.sql(f'ALTER ROLE "{setting.admin.username}" CONNECTION LIMIT 10')
    assert setting.server.logs_in(alive)


@pytest.mark.xdist_group("mongo")
@pytest.mark.parametrize("tags", [{}, SINGLE_USER], ids=["alternating users", "single user"])
def test_the_same_name_in_another_database_of_mongodb_is_another_user(
    definition: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    """The attacker's own user has the victim's name, and AWSPREVIOUS proves it: it is proven in its own database."""
    with MongoWorld.started() as server, running(Silences(), definition) as machine:
        monkeypatch.setenv("PRIVATE_CA", server.ca_pem)
        victim = server.user_of("shop", name="orders")
        mine = server.user_of("other", name="orders")
        admin = server.admin(mine)
        common = {"engine": "mongo", "host": HOST, "port": server.port, "username": "orders"}
        admin_arn = create_secret(
            machine, "admin", json.dumps(common | {"username": admin.username, "password": admin.password}), ADMIN
        )
        own = common | {"password": mine.password, "dbname": "other", "masterarn": admin_arn}
        secret = RotatedSecret(machine, create_secret(machine, "app", json.dumps(own), tags))
        forged = json.dumps(own | {"dbname": "shop", "password": "a guess"})
        machine.secrets_manager.put_secret_value(SecretId=secret.arn, SecretString=forged)

        assert secret.rotate() == "RotationFailed"

        assert server.logs_in(victim)
        assert not server.logs_in(replace(victim, password=secret.value("AWSPENDING")["password"]))
