"""What `rotatorctl onboard` makes of its options, files and databases; deployed, test_cli_onboarding.py."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from click.testing import CliRunner

from rotatorctl.aws import Aws
from rotatorctl.cli import cli
from rotatorctl.databases import CLUSTER, INSTANCE, Database, looked_up
from rotatorctl.new_secret import GENERATED, Asked, made
from rotatorctl.onboarding_file import FileContentError, read
from rotatorctl.result import CommandError
from tests.unit.examined import ARN

pytestmark = pytest.mark.usefixtures("credentials")

ENDPOINT = {"Address": "orders.example", "Port": 5433}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name the secret"),
        (["app", "--schedule", "monthly"], "it may be 30d"),
        (["app", "--window", "3h"], "--window goes with --schedule"),
        (["app", "--cluster", "a", "--instance", "b"], "two servers"),
        (["app", "--instance", "a", "--host", "b"], "two servers"),
        (["app", "--cluster", "a", "--engine", "postgres"], "are looked up"),
        (["app", "--host", "a", "--generate", "--password-from", "b"], "two passwords"),
        (["app", "--tag", "team"], "'team' is not KEY=VALUE"),
        (["app", "--password", "x"], "No such option"),
    ],
)
def test_misuse_is_told_before_aws_is_asked_and_exits_with_2(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["onboard", *arguments])

    assert done.exit_code == 2
    assert words in done.output


def test_the_file_names_the_secret_and_an_argument_that_names_another_is_misuse(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("name: app\n")

    done = CliRunner().invoke(cli, ["onboard", "other", "--from", str(file)])

    assert (done.exit_code, "leave one out" in done.output) == (2, True)


def test_a_file_says_the_same_as_options() -> None:
    assert read(
        "{name: app, host: db.example, port: 5433, rotatePasswordInDays: 30, tags: {team: orders, tier: 1}}"
    ) == {
        "name": "app",
        "host": "db.example",
        "port": "5433",
        "schedule": "30d",
        "tags": {"team": "orders", "tier": "1"},
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "it is no YAML, in line"),
        ("- name", "it holds no keys"),
        ("", "it holds no keys"),
        ("password: Zk3-vQ9_xT7", "a password is not read from a file"),
        ("Password: Zk3-vQ9_xT7", "a password is not read from a file"),
        ("hots: db.example", "unknown key 'hots'; there are name, host,"),
        ("host: [a, b]", "the key 'host' needs a text or a number"),
        ("host: true", "the key 'host' needs a text or a number"),
        ("tags: a", "the key 'tags' needs keys and values"),
        ("{schedule: 30d, rotatePasswordInDays: 30}", "both rotatePasswordInDays and schedule"),
        ("!!python/object/apply:os.getcwd []", "it is no YAML"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_key_and_nothing_of_it_is_quoted(content: str, words: str) -> None:
    with pytest.raises(FileContentError) as refused:
        read(content)

    assert words in str(refused.value)
    assert "Zk3" not in str(refused.value)


def cluster(status: str, writer: bool = True, engine: str = "aurora-postgresql") -> dict[str, Any]:
    reader = {"DBInstanceIdentifier": "orders-2", "IsClusterWriter": False}
    members = [reader, {"DBInstanceIdentifier": "orders-1", "IsClusterWriter": True}] if writer else []
    made = {"DBClusterIdentifier": "orders", "Status": status, "Engine": engine, "DBClusterMembers": members}
    return {"DBClusters": [made | {"Endpoint": "orders.example", "Port": 5433}]}


def instance(status: str, name: str = "orders-1", **more: Any) -> dict[str, Any]:
    made = {"DBInstanceIdentifier": name, "DBInstanceStatus": status, "Engine": "mariadb"}
    return {"DBInstances": [made | ({} if status == "creating" else {"Endpoint": ENDPOINT}) | more]}


def looked(kind: str, *answers: tuple[str, dict[str, Any]]) -> tuple[Database, list[str]]:
    """What is found, and what was told on the way."""
    aws, told = Aws("eu-central-1"), list[str]()
    with Stubber(aws.databases) as stubber:
        for operation, answer in answers:
            stubber.add_response(operation, answer)
        found = looked_up(aws, kind, "orders", lambda name, status: told.append(f"{name}: {status}"), lambda _: None)
        stubber.assert_no_pending_responses()
    return found, told


FIELDS = {"engine": "postgres", "host": "db.example", "username": "app"}


def test_a_generated_password_is_known_to_no_server_and_a_value_without_one_needs_none() -> None:
    with_server = made(Aws("eu-central-1"), "app", FIELDS, Asked(password=GENERATED), {"rotation:length": "40"})
    without = made(Aws("eu-central-1"), "key", {"engine": "generic"}, Asked(password=GENERATED), {})

    password = json.loads(with_server.text)["password"]
    assert len(password) == 40
    assert password not in repr(with_server) + with_server.words
    assert (with_server.logs_in, without.logs_in) == (False, True)


def test_nothing_is_asked_for_a_value_that_could_drive_no_rotation() -> None:
    with pytest.raises(CommandError) as refused:
        made(Aws("eu-central-1"), "app", FIELDS | {"port": 0}, Asked(typed=lambda _: pytest.fail("asked")), {})

    assert refused.value.problem.code == "InvalidSecretError"


@pytest.mark.parametrize(
    ("enabled", "text", "code"),
    [(True, "", "TwoSecretsError"), (False, "no JSON", "InvalidSecretError"), (False, "{}", "InvalidSecretError")],
)
def test_a_password_is_taken_from_no_secret_that_is_rotated_itself_or_has_none(
    enabled: bool, text: str, code: str
) -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.secrets) as stubber, pytest.raises(CommandError) as refused:
        stubber.add_response("describe_secret", {"ARN": ARN, "Name": "old", "RotationEnabled": enabled})
        if text:
            stubber.add_response("get_secret_value", {"SecretString": text}, {"SecretId": ARN})
        made(aws, "app", FIELDS, Asked(password="old"), {})

    assert refused.value.problem.code == code


CLUSTERS, INSTANCES = "describe_db_clusters", "describe_db_instances"


def test_a_cluster_is_waited_for_and_so_is_its_writer() -> None:
    found, told = looked(
        CLUSTER,
        (CLUSTERS, cluster("creating", writer=False)),
        (CLUSTERS, cluster("available")),
        (INSTANCES, instance("creating")),
        (CLUSTERS, cluster("available")),
        (INSTANCES, instance("configuring-enhanced-monitoring")),
        (CLUSTERS, cluster("available")),
        (INSTANCES, instance("available")),
    )

    assert found == Database("aurora-postgresql", "orders.example", 5433)
    assert told == [
        "cluster orders: creating",
        "writer instance: not made yet",
        "cluster orders: available",
        "writer instance orders-1: creating",
        "writer instance orders-1: configuring-enhanced-monitoring",
    ]


def test_a_documentdb_cluster_is_one_of_mongos_engine() -> None:
    found, _ = looked(CLUSTER, (CLUSTERS, cluster("available", engine="docdb")), (INSTANCES, instance("available")))

    assert found.engine == "mongo"


def test_an_instance_is_waited_for_until_it_has_an_endpoint() -> None:
    found, told = looked(
        INSTANCE, (INSTANCES, instance("creating", "orders")), (INSTANCES, instance("available", "orders"))
    )

    assert found == Database("mariadb", "orders.example", 5433)
    assert told == ["instance orders: creating"]


def test_an_instance_of_a_cluster_stands_for_the_cluster() -> None:
    member = instance("available", DBClusterIdentifier="orders")
    found, _ = looked(
        INSTANCE, (INSTANCES, member), (CLUSTERS, cluster("available")), (INSTANCES, instance("available"))
    )

    assert found == Database("aurora-postgresql", "orders.example", 5433)


@pytest.mark.parametrize(
    ("status", "engine", "code"),
    [
        ("stopped", "postgres", "DatabaseNotAvailableError"),
        ("incompatible-network", "postgres", "DatabaseNotAvailableError"),
        ("available", "oracle-ee", "EngineNotThereError"),
    ],
)
def test_what_no_waiting_ends_is_told_at_once(status: str, engine: str, code: str) -> None:
    with pytest.raises(CommandError) as refused:
        looked(INSTANCE, (INSTANCES, instance(status, Engine=engine)))

    assert refused.value.problem.code == code
    assert refused.value.problem.next_step


@pytest.mark.parametrize(
    ("kind", "operation", "error"),
    [(CLUSTER, CLUSTERS, "DBClusterNotFoundFault"), (INSTANCE, INSTANCES, "DBInstanceNotFound")],
)
def test_a_database_that_is_not_there_is_told_with_how_to_list_those_that_are(
    kind: str, operation: str, error: str
) -> None:
    aws = Aws("eu-central-1")
    with Stubber(aws.databases) as stubber, pytest.raises(CommandError) as refused:
        stubber.add_client_error(operation, error)
        looked_up(aws, kind, "orders", lambda *_: None)

    assert refused.value.problem.code == "DatabaseNotFoundError"
    assert f"no {kind} 'orders' in eu-central-1" in refused.value.problem.message
    assert "aws rds describe-db-" in refused.value.problem.next_step
