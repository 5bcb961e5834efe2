"""Every right that a role has is needed: without any single one something breaks, and what people see names it.

Each case takes one action, one resource or one stage out of one statement and runs what needs it on the real machine.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from rotation import rds, topic
from rotation.model import Credentials
from rotatorctl.local.mongo_server import DATABASE
from rotatorctl.local.secrets_manager import Silences
from rotatorctl.local.servers import HOST
from rotatorctl.permissions import Json, Role, statements_in
from tests.contract.mongo_world import MongoWorld
from tests.workflow.acting import MACHINE
from tests.workflow.conftest import RotatedSecret, create_secret
from tests.workflow.machine import ADMIN, FIND_OVERDUE, FUNCTION_ARN, ROLES, Handler, deployment, handler, running
from tests.workflow.test_failures import break_state, failing

pytestmark = pytest.mark.xdist_group("mongo")

SERVICES = ("secretsmanager", "states", "lambda", "sns", "rds")
INSTANCE, CLUSTER = "aws:rds:primaryDBInstanceArn", "aws:rds:primaryDBClusterArn"
STAGE, TAG = "secretsmanager:VersionStage", "secretsmanager:ResourceTag"


@dataclass
class Setting(RotatedSecret):
    """A user of MongoDB that cannot change its own password, its secret, and an admin secret that RDS manages."""

    server: MongoWorld
    first: Credentials

    def works(self) -> bool:
        value = self.value()
        return self.server.logs_in(replace(self.first, username=value["username"], password=value["password"]))

    def told(self) -> str:
        """Everything that says why something failed: to Secrets Manager, in the executions' histories, in messages."""
        rotations = self.machine.secrets_manager.rotations(self.arn)
        texts = [error or "" for rotation in rotations for _, error in rotation.steps]
        for execution in self.machine.executions():
            history = self.machine.history(execution["executionArn"])
            texts += [str(event) for event in history if "taskFailedEventDetails" in event]
        return " ".join([*texts, *(message["Message"] for message in self.machine.messages())])


@pytest.fixture(scope="module")
def server() -> Iterator[MongoWorld]:
    with MongoWorld.started() as world:
        yield world


type Enter = Callable[..., Setting]


@pytest.fixture
def enter(server: MongoWorld, definition: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Enter]:
    """Makes the setting, with a tag of RDS on the admin secret and tags on the application's."""
    monkeypatch.setenv("PRIVATE_CA", server.ca_pem)
    with running(Silences(), definition) as machine:
        rds._client.cache_clear()

        def made(managed_for: str = INSTANCE, **tags: str) -> Setting:
            app = server.user_of(DATABASE)
            admin = server.admin(app)
            managed = ADMIN | {managed_for: _database(managed_for, server.port, monkeypatch)}
            value = {"username": admin.username, "password": admin.password, "dbname": admin.dbname}
            admin_arn = create_secret(machine, "rds!admin", json.dumps(value), managed)
            fields = {"engine": "mongo", "host": HOST, "port": server.port, "dbname": DATABASE, "masterarn": admin_arn}
            fields |= {"username": app.username, "password": app.password}
            own = {f"rotation:{key}": each for key, each in tags.items()}
            return Setting(machine, create_secret(machine, "app", json.dumps(fields), own), server, app)

        yield made


def _database(managed_for: str, port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ARN of what RDS calls an instance or a cluster; its endpoint is the server here."""
    monkeypatch.setattr("moto.rds.models.DBInstance.address", HOST)
    monkeypatch.setattr("moto.rds.models.DBCluster.endpoint", HOST)
    name, client = f"orders-{secrets.token_hex(4)}", boto3.client("rds")
    if managed_for == INSTANCE:
        made = client.create_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.t4g.micro", Engine="postgres", Port=port,
            AllocatedStorage=20, MasterUsername="admin", ManageMasterUserPassword=True,
        )  # fmt: skip
        return str(made["DBInstance"]["DBInstanceArn"])
    cluster = client.create_db_cluster(
        DBClusterIdentifier=name, Engine="aurora-postgresql", Port=port, MasterUsername="admin",
        ManageMasterUserPassword=True,
    )  # fmt: skip
    return str(cluster["DBCluster"]["DBClusterArn"])


# ---- What is tried. Each comes to its end with all rights, and to another without the one that it is there for.


def alternate(enter: Enter) -> tuple[object, str]:
    """Two rotations by the admin with alternating users; the second knows of the first by AWSPREVIOUS."""
    setting = enter()
    first = setting.rotate()
    second = setting.rotate() if first == "RotationSucceeded" else ""
    return (first, second, setting.works()), setting.told()


def retry(enter: Enter) -> tuple[object, str]:
    """A second attempt, which keeps the value that the first one made."""
    setting = enter()
    break_state(setting, "SetSecret", failing("KeyError", times=1))
    return (setting.rotate(), setting.retry(), setting.works()), setting.told()


def alternate_on_a_cluster(enter: Enter) -> tuple[object, str]:
    setting = enter(CLUSTER)
    return setting.rotate(), setting.told()


def roll_back(enter: Enter, managed_for: str = INSTANCE) -> tuple[object, str]:
    """A failure after the admin changed the one user's password, which only the admin can put back; it is told."""
    setting = enter(managed_for, strategy="single-user")
    break_state(setting, "FinishSecret", failing("KeyError"))
    setting.rotate()
    messages = setting.machine.messages()
    return (setting.outcomes(), len(messages), setting.works()), setting.told() + json.dumps(messages)


def roll_back_on_a_cluster(enter: Enter) -> tuple[object, str]:
    return roll_back(enter, CLUSTER)


def reject(enter: Enter) -> tuple[object, str]:
    """A value that the service will never accept: RollBack takes AWSPENDING off it."""
    setting = enter()
    break_state(setting, "SetSecret", failing("PasswordRejectedError"))
    setting.rotate()
    return [label for labels in setting.stages().values() for label in labels], setting.told()


def log_in(enter: Enter) -> tuple[object, str]:
    """What RotateImmediately=false asks for."""
    setting = enter()
    return setting.rotate(RotateImmediately=False), setting.told()


def stop(enter: Enter) -> tuple[object, str]:
    """An execution that is stopped after SetSecret, and whose end rotate is told of."""
    setting = enter(strategy="single-user")
    machine = setting.machine

    def stopping(called: Handler) -> Handler:
        def stopped(event: Any, context: Any) -> Any:
            answer = called(event, context)
            machine.stepfunctions.stop_execution(executionArn=event["Request"]["Execution"])
            return answer

        return stopped

    break_state(setting, "SetSecret", stopping)
    setting.rotate()
    with suppress(Exception):
        machine.execution_ended(machine.executions()[0]["executionArn"])
    return (setting.outcomes(), setting.works()), setting.told()


def find_overdue(enter: Enter) -> tuple[object, str]:
    """A secret that was not rotated in time is told."""
    setting = enter()
    setting.rotate()
    topic._client.cache_clear()
    topic._published.clear()
    event = {"time": (datetime.now(UTC) + timedelta(days=32)).isoformat()}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROTATE_FUNCTION_ARN", f"{FUNCTION_ARN}rotate")
        environment.setenv("ALERT_TOPIC_ARN", setting.machine.topic)
        try:
            handler(FIND_OVERDUE)(event, None)
        except Exception as error:
            return type(error).__name__, str(error)
    return setting.subjects(), ""


type Scenario = Callable[[Enter], tuple[object, str]]

WITH_ALL_RIGHTS: dict[Scenario, object] = {
    alternate: ("RotationSucceeded", "RotationSucceeded", True),
    retry: ("RotationFailed", "RotationSucceeded", True),
    alternate_on_a_cluster: "RotationSucceeded",
    roll_back: (["rolled back"], 1, True),
    roll_back_on_a_cluster: (["rolled back"], 1, True),
    reject: ["AWSCURRENT"],
    log_in: "TestRotationSucceeded",
    stop: (["ABORTED", "rolled back"], True),
    find_overdue: ["OVERDUE, not rotated for 32 days"],
}

# By caller: each right, and what needs it.
NEEDED: dict[str, dict[str, Scenario]] = {
    "rotate": {
        "secretsmanager:DescribeSecret": alternate,
        "states:StartExecution": alternate,
        "states:DescribeExecution": log_in,
        "states:GetExecutionHistory": stop,
    },
    "CreateSecret": {
        "secretsmanager:DescribeSecret": alternate,
        "secretsmanager:PutSecretValue": alternate,
        "secretsmanager:GetSecretValue AWSCURRENT": alternate,
        "secretsmanager:GetSecretValue AWSPENDING": retry,
    },
    "SetSecret": {
        "secretsmanager:DescribeSecret": alternate,
        "secretsmanager:GetSecretValue AWSCURRENT": alternate,
        "secretsmanager:GetSecretValue AWSPENDING": alternate,
        "secretsmanager:GetSecretValue AWSPREVIOUS": alternate,
        "secretsmanager:DescribeSecret of the admin secret": alternate,
        "secretsmanager:GetSecretValue of the admin secret": alternate,
        "rds:DescribeDBInstances": alternate,
        "rds:DescribeDBClusters": alternate_on_a_cluster,
    },
    "TestSecret": {
        "secretsmanager:DescribeSecret": log_in,
        "secretsmanager:GetSecretValue AWSCURRENT": log_in,
        "secretsmanager:GetSecretValue AWSPENDING": alternate,
    },
    "FinishSecret": {
        "secretsmanager:DescribeSecret": alternate,
        "secretsmanager:UpdateSecretVersionStage": alternate,
    },
    "RollBack": {
        "secretsmanager:DescribeSecret": roll_back,
        "secretsmanager:GetSecretValue": roll_back,
        "secretsmanager:UpdateSecretVersionStage": reject,
        "secretsmanager:DescribeSecret of the admin secret": roll_back,
        "secretsmanager:GetSecretValue of the admin secret": roll_back,
        "rds:DescribeDBInstances": roll_back,
        "rds:DescribeDBClusters": roll_back_on_a_cluster,
    },
    MACHINE: {
        "lambda:InvokeFunction CreateSecret": alternate,
        "lambda:InvokeFunction SetSecret": alternate,
        "lambda:InvokeFunction TestSecret": alternate,
        "lambda:InvokeFunction FinishSecret": alternate,
        "lambda:InvokeFunction RollBack": roll_back,
        "sns:Publish": roll_back,
    },
    FIND_OVERDUE: {
        "secretsmanager:ListSecrets": find_overdue,
        "sns:Publish": find_overdue,
    },
}


def rights(caller: str) -> Iterator[tuple[str, list[Json]]]:
    """Each right of a role by its name, and the role's policies without it."""
    documents = deployment().roles()[ROLES[caller]]
    for document in documents:
        for number, statement in enumerate(statements_in(document)):
            for name, less in _parts(statement):
                statements = [*statements_in(document)]
                statements[number : number + 1] = less
                others = [each for each in documents if each is not document]
                yield name, [*others, {**document, "Statement": statements}]


def _parts(statement: Json) -> Iterator[tuple[str, list[Json]]]:
    """The statement's rights, each with the statements that are left without it."""
    actions = _listed(statement["Action"])
    for action in (each for each in actions if each.partition(":")[0] in SERVICES):
        rest = [each for each in actions if each != action]
        others = [{**statement, "Action": rest}] if rest else []
        for what, left in _within({**statement, "Action": action}):
            yield f"{action}{what}", [*others, *left]


def _within(statement: Json) -> Iterator[tuple[str, list[Json]]]:
    """Each stage, or each function, that an action is confined to, with what is left without it; else all it allows."""
    equal = statement.get("Condition", {}).get("StringEquals", {})
    stages, resources = _listed(equal.get(STAGE, [])), _listed(statement["Resource"])
    if len(stages) > 1:
        for stage in stages:
            fewer = {**equal, STAGE: [each for each in stages if each != stage]}
            yield f" {stage}", [{**statement, "Condition": {"StringEquals": fewer}}]
    elif statement["Action"] == "lambda:InvokeFunction":
        for resource in resources:
            left = [each for each in resources if each != resource]
            yield f" {resource.rpartition(':')[2]}", [{**statement, "Resource": left}]
    else:
        yield " of the admin secret" if any(key.startswith(TAG) for key in equal) else "", []


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@pytest.mark.parametrize("caller", ROLES)
def test_every_right_has_something_here_that_needs_it(caller: str) -> None:
    assert [name for name, _ in rights(caller)] == list(NEEDED[caller])


def test_every_role_is_tried_here_but_that_of_eventbridges_rules_which_take_the_deployed_stack() -> None:
    assert {*ROLES.values(), "TellRole"} == set(deployment().roles())


@pytest.mark.parametrize("scenario", WITH_ALL_RIGHTS, ids=lambda each: each.__name__)
def test_with_all_rights_it_works(enter: Enter, scenario: Scenario) -> None:
    seen, _ = scenario(enter)

    assert seen == WITH_ALL_RIGHTS[scenario]


@pytest.mark.parametrize(("caller", "right"), [(caller, right) for caller in NEEDED for right in NEEDED[caller]])
def test_without_any_single_right_something_breaks_and_the_right_is_named(
    enter: Enter, caller: str, right: str
) -> None:
    def less(*given: Any, **tags: str) -> Setting:
        setting = enter(*given, **tags)
        setting.machine.roles[caller] = Role.of(ROLES[caller], dict(rights(caller))[right])
        return setting

    scenario = NEEDED[caller][right]
    seen, told = scenario(less)

    assert seen != WITH_ALL_RIGHTS[scenario]
    assert f"User: {ROLES[caller]} is not authorized to perform: {right.partition(' ')[0]} on" in told
