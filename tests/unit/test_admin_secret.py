"""The admin secret: what it has to hold, and the endpoint that RDS knows. Log-ins are in tests/workflow."""

import json
import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from moto import mock_aws

from rotation import rds
from rotation.errors import AccessDeniedError, InvalidSecretError, RotationError, UnavailableError
from rotation.model import Credentials, Json
from rotatorctl.local.secrets_manager import SecretsManagerError
from tests.unit.rotations import ENVIRONMENT, Account, begun

ADMIN = {"username": "admin", "password": "admin-5Rt", "host": "DB.example.com", "port": 5432}
APP = {"engine": "aurora-postgresql", "host": "db.example.com", "username": "app", "password": "current-7Tz"}
NAMED = "the admin secret that 'masterarn' names:"


@pytest.fixture
def account() -> Iterator[Account]:
    with begun(APP) as account:
        yield account


def admin_of(account: Account, value: str | None, tags: dict[str, str] | None = None) -> Credentials:
    """The admin's credential, read for an application whose value names a secret with this one."""
    pairs = [{"Key": key, "Value": each} for key, each in (tags or {}).items()]
    given = {} if value is None else {"SecretString": value}
    arn = account.model.create_secret(Name="admin", Tags=pairs, **given)["ARN"]
    account.write(APP | {"masterarn": arn})
    found = account.rotation().admin()
    assert found
    return found


def refusal(account: Account, value: str | None, tags: dict[str, str] | None = None) -> str:
    with pytest.raises(InvalidSecretError) as error:
        admin_of(account, value, tags)
    return str(error.value)


@pytest.mark.parametrize("engine", [{}, {"engine": ""}, {"engine": "postgres"}])
def test_an_admin_secret_of_the_same_server_may_leave_the_engine_out(account: Account, engine: dict[str, str]) -> None:
    found = admin_of(account, json.dumps(ADMIN | engine))

    assert found == Credentials("admin", "admin-5Rt", "DB.example.com", 5432, "postgres")


def test_an_admin_secret_is_read_once_and_only_where_one_is_named(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = account.model.create_secret(Name="admin", SecretString=json.dumps(ADMIN))["ARN"]
    assert account.rotation().admin() is None
    account.write(APP | {"masterarn": arn})
    rotation = account.rotation()
    first = rotation.admin()
    account.model.put_secret_value(SecretId=arn, SecretString="no JSON any more")

    assert rotation.admin() is first


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, f"{NAMED} it has no value"),
        (
            json.dumps(ADMIN | {"username": ""}),
            f"{NAMED} the secret's JSON needs the key 'username' with a text that is not empty",
        ),
        (
            "no JSON",
            f"{NAMED} the secret's value is not JSON; expected an object with the keys engine, host, username and "
            "password",
        ),
        (
            json.dumps(ADMIN | {"engine": "mysql"}),
            "the admin secret is for engine 'mysql', this secret for another one",
        ),
        (
            json.dumps(ADMIN | {"engine": 7}),
            f"{NAMED} the secret's JSON needs the key 'engine' with a text that is not empty",
        ),
        (
            json.dumps(ADMIN | {"host": "other.example.com"}),
            "the admin secret is for user 'admin' at other.example.com:5432, this secret for user 'app' at "
            "db.example.com:5432; the admin credential is sent to the admin secret's own host alone, so nothing was "
            "sent",
        ),
        (
            '{"username": "admin", "password": "admin-5Rt"}',
            f"{NAMED} it holds no 'host', and is none that RDS manages for an instance or cluster",
        ),
    ],
)
def test_an_admin_secret_that_cannot_be_used_is_told_as_such(account: Account, value: str | None, said: str) -> None:
    assert refusal(account, value) == said


def test_an_admin_secret_that_is_being_deleted_is_told_as_such(account: Account) -> None:
    arn = account.model.create_secret(Name="admin", SecretString=json.dumps(ADMIN))["ARN"]
    account.write(APP | {"masterarn": arn})
    account.model.delete_secret(SecretId=arn)

    with pytest.raises(InvalidSecretError, match=f"^{NAMED} the secret is scheduled for deletion$"):
        account.rotation().admin()


def test_an_admin_secret_that_may_not_be_read_is_told_with_the_tag_that_it_needs(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = account.model.create_secret(Name="admin", SecretString=json.dumps(ADMIN))["ARN"]
    account.write(APP | {"masterarn": arn})
    read = account.model.get_secret_value

    def refuse(**request: Any) -> Json:
        if request["SecretId"] == arn:
            raise SecretsManagerError("AccessDeniedException", "no")
        answer: Json = read(**request)
        return answer

    monkeypatch.setattr(account.model, "get_secret_value", refuse)
    with pytest.raises(AccessDeniedError) as error:
        account.rotation().admin()

    assert str(error.value) == (
        f"secretsmanager:GetSecretValue on {arn}: AccessDeniedException: no; an admin secret is readable once it has "
        "the tag rotation:admin with this stack's name as value"
    )


@pytest.fixture
def databases() -> Iterator[Any]:
    """RDS, with an instance and a cluster."""
    with patch.dict(os.environ, ENVIRONMENT), mock_aws():
        rds._client.cache_clear()
        client = rds._client()
        user: dict[str, Any] = {"MasterUsername": "admin", "MasterUserPassword": "admin-5Rt-7Tz"}
        client.create_db_instance(
            DBInstanceIdentifier="orders", DBInstanceClass="db.t4g.micro", Engine="postgres", Port=5433, **user
        )
        client.create_db_cluster(DBClusterIdentifier="orders", Engine="aurora-postgresql", Port=5434, **user)
        yield client
        rds._client.cache_clear()


ARN = "arn:aws:rds:eu-central-1:123456789012"


def test_the_endpoint_of_an_instance_or_a_clusters_writer_is_what_rds_says(databases: Any) -> None:
    [instance] = databases.describe_db_instances()["DBInstances"]
    [cluster] = databases.describe_db_clusters()["DBClusters"]

    of_instance = rds.endpoint({"aws:rds:primaryDBInstanceArn": instance["DBInstanceArn"]})
    of_cluster = rds.endpoint({"aws:rds:primaryDBClusterArn": cluster["DBClusterArn"], "team": "payments"})

    assert of_instance == {"host": instance["Endpoint"]["Address"], "port": 5433}
    assert of_cluster == {"host": cluster["Endpoint"], "port": 5434}


def test_an_admin_secret_that_rds_manages_is_for_the_endpoint_that_rds_says(databases: Any) -> None:
    [instance] = databases.describe_db_instances()["DBInstances"]
    host = instance["Endpoint"]["Address"]
    with begun(APP) as account:
        value = json.dumps({"username": "admin", "password": "admin-5Rt"})
        pairs = [{"Key": "aws:rds:primaryDBInstanceArn", "Value": instance["DBInstanceArn"]}]
        arn = account.model.create_secret(Name="admin", SecretString=value, Tags=pairs)["ARN"]
        account.write(APP | {"masterarn": arn, "host": host, "port": 5433})

        assert account.rotation().admin() == Credentials("admin", "admin-5Rt", host, 5433, "postgres")


@pytest.mark.parametrize(
    ("tag", "arn"),
    [("aws:rds:primaryDBInstanceArn", f"{ARN}:db:gone"), ("aws:rds:primaryDBClusterArn", f"{ARN}:cluster:gone")],
)
def test_a_database_that_rds_does_not_know_is_named(databases: Any, tag: str, arn: str) -> None:
    with pytest.raises(InvalidSecretError, match=f"^it is managed for {arn}, which does not exist$"):
        rds.endpoint({tag: arn})


# What RDS answers while it makes a database, and what it answers to those who may not ask.
@pytest.mark.parametrize(
    ("tag", "call", "answer"),
    [
        ("aws:rds:primarydbinstancearn", "DescribeDBInstances", {"DBInstances": [{"DBInstanceStatus": "creating"}]}),
        ("aws:rds:primarydbclusterarn", "DescribeDBClusters", {"DBClusters": [{"Status": "creating"}]}),
    ],
)
def test_a_database_without_an_endpoint_is_asked_for_again_and_a_refusal_names_the_call(
    databases: Any, tag: str, call: str, answer: Json
) -> None:
    answers = iter([(200, answer), (403, {"Error": {"Code": "AccessDenied", "Message": "no"}})])

    def answered(**_: Any) -> tuple[Any, Json]:
        status, body = next(answers)
        return type("Response", (), {"status_code": status})(), body

    databases.meta.events.register(f"before-call.rds.{call}", answered)

    told: list[tuple[type[RotationError], str]] = []
    for _ in range(2):
        with pytest.raises(RotationError) as error:
            rds.endpoint({tag: f"{ARN}:of-a-database"})
        told.append((type(error.value), str(error.value)))
    assert told == [
        (UnavailableError, f"{ARN}:of-a-database has no endpoint yet"),
        (AccessDeniedError, f"rds:{call} on {ARN}:of-a-database: AccessDenied: no"),
    ]


@pytest.mark.parametrize("says", [{}, {"ssl": True}])
def test_an_applications_secret_cannot_turn_off_the_tls_of_the_admins_log_in(
    account: Account, says: dict[str, bool]
) -> None:
    arn = account.model.create_secret(Name="admin", SecretString=json.dumps(ADMIN | says))["ARN"]
    account.write(APP | {"masterarn": arn, "ssl": False})
    rotation = account.rotation()

    admin = rotation.admin()

    assert not rotation.current.ssl
    assert admin and admin.ssl
