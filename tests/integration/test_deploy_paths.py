"""The ways to deploy of docs/deploying.md, on the emulator: update, delete, a second stack, a nested one."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jmespath
import pytest

from rotatorctl.local.build import TEMPLATE, DeploymentError, alone, built
from rotatorctl.local.emulator import ROOT
from rotatorctl.local.stack import STACK_NAME, OfflineStack, deploy

pytestmark = pytest.mark.xdist_group("deploy paths")

PAGE = (ROOT / "docs/deploying.md").read_text()
SECOND = "secret-rotation-payments"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0f6c1c2a-6f0e-4c37-9a51-2f1d5b7f0c11"
type Outputs = Mapping[str, str]


@dataclass
class Rotated:
    """A secret that no server knows, with the rotation function of some stack."""

    offline: OfflineStack
    arn: str

    @classmethod
    def of(cls, offline: OfflineStack, name: str) -> "Rotated":
        made = offline.secrets.create_secret(
            Name=name, SecretString="first", Tags=[{"Key": "rotation:engine", "Value": "generic"}]
        )
        return cls(offline, made["ARN"])

    def rotate(self, outputs: Outputs) -> str:
        self.offline.secrets.rotate_secret(
            SecretId=self.arn,
            RotationLambdaARN=outputs["RotationFunctionArn"],
            RotationRules={"AutomaticallyAfterDays": 30},
        )
        rotation = self.offline.model.wait(self.arn, timeout=60)
        assert rotation is not None
        return str(rotation.outcome)

    def value(self) -> str:
        return self.offline.secrets.get_secret_value(SecretId=self.arn)["SecretString"]

    def labels(self) -> Any:
        return self.offline.secrets.describe_secret(SecretId=self.arn)["VersionIdsToStages"]


@pytest.fixture(scope="module")
def offline() -> Iterator[OfflineStack]:
    with OfflineStack.started(wait_scale=0.2, parameters={"AlertEmail": "team@example.com"}) as stack:
        yield stack


def rotated_by(offline: OfflineStack, outputs: Outputs) -> set[str]:
    """The secrets of which a stack's state machine has executions."""
    client = offline.client("stepfunctions")
    listed = client.list_executions(stateMachineArn=outputs["StateMachineArn"])["executions"]
    inputs = [client.describe_execution(executionArn=each["executionArn"])["input"] for each in listed]
    return {json.loads(each)["SecretId"] for each in inputs}


def resources(offline: OfflineStack, name: str) -> Iterator[tuple[str, str]]:
    """Logical and physical id of all that a stack has made, its nested stacks' things too."""
    for each in offline.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]:
        yield each["LogicalResourceId"], each["PhysicalResourceId"]
        if each["ResourceType"] == "AWS::CloudFormation::Stack":
            yield from resources(offline, each["PhysicalResourceId"])


def changed_copy(folder: Path) -> Path:
    """The project's deployed part with other code: a value that was made anew is shorter."""
    for name in ("functions", "statemachine"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("template.yaml", "monitoring.yaml"):
        shutil.copy(ROOT / name, folder)
    settings = folder / "functions/rotation/settings.py"
    code = settings.read_text()
    assert code.count("32") == 1
    settings.write_text(code.replace("32", "23"))
    return folder / "template.yaml"


def test_an_update_of_code_and_parameters_keeps_the_function_and_the_secrets_under_rotation(
    offline: OfflineStack, tmp_path: Path
) -> None:
    secret = Rotated.of(offline, "updated")
    assert secret.rotate(offline.outputs) == "RotationSucceeded"
    assert len(secret.value()) == 32

    outputs = deploy(offline.environment, tmp_path, {"LogLevel": "ERROR"}, template=changed_copy(tmp_path / "project"))

    assert outputs == offline.outputs
    variables = offline.client("lambda").get_function_configuration(FunctionName=outputs["RotationFunctionArn"])
    assert variables["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == "ERROR"
    offline.secrets.rotate_secret(SecretId=secret.arn)
    rotation = offline.model.wait(secret.arn, timeout=60)
    assert rotation is not None
    assert rotation.outcome == "RotationSucceeded"
    assert len(secret.value()) == 23


def test_a_build_of_the_same_sources_is_made_once(offline: OfflineStack, tmp_path: Path) -> None:
    template = built(TEMPLATE, tmp_path)

    assert not (tmp_path / "build.log").exists()
    assert template.read_text() == (offline.work_dir / "build/template.yaml").read_text()


def test_a_deployment_asks_nobody_for_a_newer_release_of_the_sam_cli(offline: OfflineStack) -> None:
    """It would write down when it has asked, after everything that it says."""
    remembered = json.loads((offline.work_dir / "sam/metadata.json").read_text())["lastVersionCheck"]

    assert remembered < (offline.work_dir / "deploy.log").stat().st_mtime
    assert not (offline.work_dir / ".aws-sam").exists()


@pytest.fixture(scope="module")
def second(offline: OfflineStack, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """A stack beside the first one, with a key."""
    parameters = {"AlertEmail": "payments@example.com", "KeyArn": KEY}
    return deploy(offline.environment, tmp_path_factory.mktemp("second"), parameters, name=SECOND)


def test_a_second_stack_has_names_and_secrets_of_its_own(offline: OfflineStack, second: Outputs) -> None:
    secrets = Rotated.of(offline, "of-the-first"), Rotated.of(offline, "of-the-second")

    assert secrets[0].rotate(offline.outputs) == secrets[1].rotate(second) == "RotationSucceeded"

    assert secrets[0].arn in rotated_by(offline, offline.outputs)
    assert secrets[1].arn not in rotated_by(offline, offline.outputs)
    assert rotated_by(offline, second) == {secrets[1].arn}
    made = set(resources(offline, STACK_NAME)), set(resources(offline, SECOND))
    assert made[0] & made[1] == set()
    # The rule that needs an event's error: under a key there is none in it.
    assert {name for name, _ in made[0]} - {name for name, _ in made[1]} == {"AlertFailedRule"}
    assert len(made[0]) - 1 == len(made[1])


def test_a_stack_with_a_key_stores_under_it_and_rotates(offline: OfflineStack, second: Outputs) -> None:
    secret = Rotated.of(offline, "with-a-key")

    assert secret.rotate(second) == "RotationSucceeded"

    machine: Any = offline.client("stepfunctions").describe_state_machine(stateMachineArn=second["StateMachineArn"])
    assert machine["encryptionConfiguration"]["kmsKeyId"] == KEY
    # The emulator keeps no key of a topic.
    sqs, url = offline.client("sqs"), second["UndeliveredAlertsUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert queue["KmsMasterKeyId"] == KEY
    groups = offline.client("logs").describe_log_groups()["logGroups"]
    assert [each["kmsKeyId"] for each in groups if f"/{SECOND}" in each["logGroupName"]] == [KEY] * 8


def test_subnets_without_security_groups_are_refused_before_anything_is_made(
    offline: OfflineStack, tmp_path: Path
) -> None:
    with pytest.raises(DeploymentError, match=r"VpcSubnetIds needs VpcSecurityGroupIds\."):
        deploy(offline.environment, tmp_path, {"VpcSubnetIds": "subnet-1"}, name="half-a-vpc")

    made = offline.client("lambda").list_functions()["Functions"]
    assert [each["FunctionName"] for each in made if "half-a-vpc" in each["FunctionName"]] == []


def test_the_template_works_as_a_part_of_another_one(offline: OfflineStack, tmp_path: Path) -> None:
    (parent,) = re.findall(r"<!-- template: parent -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    project = tmp_path / "parent"
    project.mkdir()
    (project / "template.yaml").write_text(parent)
    (project / "secret-rotation").symlink_to(ROOT)

    outputs = deploy(offline.environment, tmp_path, {}, name="shop", template=project / "template.yaml")
    secret = Rotated.of(offline, "of-the-shop")

    assert secret.rotate(outputs) == "RotationSucceeded"
    assert outputs["RotationFunctionArn"].endswith(":function:shop-rotate")
    # The nested stack's name, of which the state machine's is made.
    assert re.search(r":stateMachine:shop-Rotation-[\w-]{12,13}$", outputs["StateMachineArn"])


@pytest.mark.parametrize(("name", "most", "added"), [("rotation function", 64, "-rotate"), ("state machine", 80, "")])
def test_the_page_says_how_long_a_stacks_name_may_be(name: str, most: int, added: str) -> None:
    (row,) = re.findall(rf"^\| {name} \| (.*) \|$", PAGE, re.MULTILINE)
    room = re.search(r"at most (\d+) together", PAGE)

    assert f"| {most}" in row
    assert not added or f"{most - len(added)} for the stack's name" in row
    # parent-LogicalId-1A2B3C4D5E6F7
    assert room and int(room[1]) == 80 - len("--1A2B3C4D5E6F7")


def commands() -> list[str]:
    readme = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"<!-- commands: offline -->\n```sh\n(.*?)```", readme, re.DOTALL)
    return str(block).splitlines()


def attached(offline: OfflineStack) -> list[list[Any]]:
    """What the page's command lists before a stack is deleted, which is also that of the stack's output."""
    (block,) = re.findall(r"<!-- command: attached -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    find_function, find_secrets = re.findall(r'--query "(.*?)" --output', block)
    described: Any = offline.client("cloudformation").describe_stacks(StackName=STACK_NAME)
    (function,) = jmespath.search(find_function, described)
    query = find_secrets.replace("$FUNCTION", function)
    assert query in offline.outputs["AttachedSecretsCommand"]
    listed: Any = offline.secrets.list_secrets(IncludePlannedDeletion="--include-planned-deletion" in block)
    found: list[list[Any]] = jmespath.search(query, listed)
    return found


def test_the_block_that_deletes_lists_first_what_is_attached() -> None:
    listing, deleting = (
        re.findall(rf"<!-- {name} -->\n```sh\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
        for name in ("command: attached", "commands: delete")
    )

    assert deleting == [listing[-1], f"sam delete --stack-name {STACK_NAME}"]


def run(command: str, offline: OfflineStack) -> str:
    """What it prints in the shell of a person who has run the `export` lines."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    exported = {name: value for name, value in offline.environment.items() if name.startswith("AWS_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    finished = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**own, **exported, "PATH": path, "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}", "SAM_CLI_TELEMETRY": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, (command, finished.stdout[-2000:], finished.stderr[-2000:])
    return finished.stdout


def test_the_commands_of_the_readme_validate_build_update_and_delete_and_no_secret_is_touched(
    offline: OfflineStack,
) -> None:
    """The last of all: it deletes the stack that they share."""
    validate, build, update, delete = commands()
    delete_all_secrets(offline)
    secret, cancelled = Rotated.of(offline, "attached"), Rotated.of(offline, "cancelled")
    Rotated.of(offline, "never-attached")
    assert secret.rotate(offline.outputs) == cancelled.rotate(offline.outputs) == "RotationSucceeded"
    offline.secrets.cancel_rotate_secret(SecretId=cancelled.arn)

    run(validate, offline)
    with alone():
        run(build, offline)
    run(update, offline)
    assert_updated(offline)
    assert secret.rotate(offline.outputs) == "RotationSucceeded"

    assert attached(offline) == [["attached", True], ["cancelled", False]]
    before, made = (secret.value(), secret.labels()), {name for _, name in resources(offline, STACK_NAME)}
    # Functions, the machine, the topic, and where they log.
    assert len(made & there(offline)) > 15
    assert run(delete, offline).splitlines()[1:] == [
        "  attached: detach it: aws secretsmanager cancel-rotate-secret --secret-id attached",
        "  cancelled: its rotation is off",
    ]
    left = there(offline)
    assert made & left == set()
    # Nor what its functions have made by themselves; the second stack's name begins as this one's.
    assert [each for each in left if STACK_NAME in each.replace(SECOND, "")] == []
    assert (secret.value(), secret.labels()) == before

    # It still names the function, so its next rotation fails, and leaves AWSCURRENT as it is.
    assert secret.rotate(offline.outputs) == "RotationFailed"
    assert secret.value() == before[0]


def delete_all_secrets(offline: OfflineStack) -> None:
    """Those of the tests before, some of which are attached."""
    for each in offline.secrets.list_secrets()["SecretList"]:
        offline.secrets.delete_secret(SecretId=each["ARN"], ForceDeleteWithoutRecovery=True)


def assert_updated(offline: OfflineStack) -> None:
    """The parameters of the page's command are new, and what was not given again is what it was."""
    (stack,) = offline.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
    kept = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert (kept["AlertEmail"], kept["TellSuccess"], kept["LogLevel"]) == ("team@example.com", "true", "WARN")


def there(offline: OfflineStack) -> set[str]:
    """The physical ids of what any stack has made."""
    return {
        *(each["FunctionName"] for each in offline.client("lambda").list_functions()["Functions"]),
        *(each["stateMachineArn"] for each in offline.client("stepfunctions").list_state_machines()["stateMachines"]),
        *(each["TopicArn"] for each in offline.client("sns").list_topics()["Topics"]),
        *(each["logGroupName"] for each in offline.client("logs").describe_log_groups()["logGroups"]),
    }
