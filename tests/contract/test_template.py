"""template.yaml agrees with the code, with the state machine's definition, and with docs/permissions.md's promises."""

import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rotation import step_handler
from tests.templates import MONITORING, ROOT, TEMPLATE, Deployment

type Json = dict[str, Any]

LONGEST_TEMPLATE = 600
STEPS = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret", "RollBack")

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
DECRYPT = {"kms:Decrypt"}
ENDPOINTS = {"rds:DescribeDBInstances", "rds:DescribeDBClusters"}
# In a VPC, what Lambda does with the role: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
INTERFACES = {
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}
# What Lambda does with it once a call was for nothing.
FAILURES = {"sqs:SendMessage"}

# Every action that a role of the stack may hold, in a VPC too; without one, none of INTERFACES.
ACTIONS = {
    "RotateRole": LOGS
    | TRACES
    | FAILURES
    | {
        "secretsmanager:DescribeSecret",
        "states:StartExecution",
        "states:DescribeExecution",
        "states:GetExecutionHistory",
    },
    "CreateSecretRole": LOGS
    | TRACES
    | DECRYPT
    | {
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "kms:GenerateDataKey",
    },
    "SetSecretRole": LOGS
    | TRACES
    | DECRYPT
    | ENDPOINTS
    | INTERFACES
    | {"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"},
    "TestSecretRole": LOGS
    | TRACES
    | DECRYPT
    | INTERFACES
    | {"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"},
    "FinishSecretRole": LOGS | TRACES | {"secretsmanager:DescribeSecret", "secretsmanager:UpdateSecretVersionStage"},
    "RollBackRole": LOGS
    | TRACES
    | DECRYPT
    | ENDPOINTS
    | INTERFACES
    | {
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    },
    "FindOverdueRole": LOGS | TRACES | FAILURES | {"secretsmanager:ListSecrets", "sns:Publish"},
    "TellRole": {"sns:Publish"},
    "RotationStateMachineRole": TRACES
    | {
        "lambda:InvokeFunction",
        "sns:Publish",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        # What CloudWatch asks of a role that sets up log delivery:
        # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    },
}

# What roles may do besides with the key of the parameter KeyArn, each by what it is confined to:
# https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html
# https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
KEY_ACTIONS = {
    "RotateRole": {("kms:EncryptionContext:aws:states:stateMachineArn", frozenset({"kms:Decrypt"}))},
    "FindOverdueRole": {("kms:ViaService", frozenset({"kms:Decrypt", "kms:GenerateDataKey*"}))},
    "TellRole": {("kms:ViaService", frozenset({"kms:Decrypt", "kms:GenerateDataKey*"}))},
    "RotationStateMachineRole": {
        ("kms:EncryptionContext:aws:states:stateMachineArn", frozenset({"kms:Decrypt", "kms:GenerateDataKey"})),
        ("kms:EncryptionContext:SourceArn", frozenset({"kms:GenerateDataKey"})),
        ("kms:ViaService", frozenset({"kms:Decrypt", "kms:GenerateDataKey*"})),
    },
}

# The staging labels to which IAM holds a role, for the actions that have the condition key.
STAGES = {
    ("CreateSecretRole", "secretsmanager:GetSecretValue"): {"AWSCURRENT", "AWSPENDING"},
    ("SetSecretRole", "secretsmanager:GetSecretValue"): {"AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"},
    ("TestSecretRole", "secretsmanager:GetSecretValue"): {"AWSCURRENT", "AWSPENDING"},
    ("FinishSecretRole", "secretsmanager:UpdateSecretVersionStage"): {"AWSCURRENT"},
    ("RollBackRole", "secretsmanager:UpdateSecretVersionStage"): {"AWSPENDING"},
}

STEP_FUNCTIONS = {
    "CreateSecretFunction",
    "SetSecretFunction",
    "TestSecretFunction",
    "FinishSecretFunction",
    "RollBackFunction",
}
IN_VPC = {"SetSecretFunction", "TestSecretFunction", "RollBackFunction"}


RESOURCES: Json = TEMPLATE["Resources"]
# The nested stack's, too.
ALL: Json = RESOURCES | MONITORING["Resources"]
DEFINITION = (ROOT / "statemachine" / "rotation.asl.json").read_text()


def of_type(kind: str) -> dict[str, Json]:
    return {name: body["Properties"] for name, body in ALL.items() if body["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
ROLES = of_type("AWS::IAM::Role")
(MACHINE,) = of_type("AWS::StepFunctions::StateMachine").values()


def statements(role: str) -> Iterator[Json]:
    """Those that a role always has."""
    for policy in ROLES[role]["Policies"]:
        if "If" not in policy:
            yield from policy["PolicyDocument"]["Statement"]


def key_statements(role: str) -> Iterator[Json]:
    """Those that it has beside them if the parameter KeyArn is given."""
    for policy in ROLES[role]["Policies"]:
        if "If" in policy:
            condition, given, otherwise = policy["If"]
            assert (condition, otherwise) == ("HasKey", {"Ref": "AWS::NoValue"})
            yield from given["PolicyDocument"]["Statement"]


def as_set(value: Any) -> set[Any]:
    return set(value) if isinstance(value, list) else {value}


def text(value: Any) -> str:
    return json.dumps(value)


def about(service: str) -> list[tuple[str, Json]]:
    return [
        (role, statement)
        for role in ROLES
        for statement in statements(role)
        if any(action.startswith(f"{service}:") for action in as_set(statement["Action"]))
    ]


def about_secrets() -> list[tuple[str, Json]]:
    """The statements on single secrets; ListSecrets is on none."""
    return [each for each in about("secretsmanager") if each[1]["Action"] != "secretsmanager:ListSecrets"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_handler_exists(name: str) -> None:
    module, attribute = FUNCTIONS[name]["Handler"].split(".")

    handler = getattr(importlib.import_module(module), attribute)

    assert callable(handler)
    assert (
        ROOT / FUNCTIONS[name].get("CodeUri", TEMPLATE["Globals"]["Function"]["CodeUri"]) / f"{module}.py"
    ).is_file()


def test_the_definition_uses_each_substitution_and_no_other() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION)) == set(MACHINE["DefinitionSubstitutions"])


def test_the_code_reads_the_environment_that_the_template_sets() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))
    read = set(re.findall(r"""environ(?:\.get\(|\[)["'](\w+)""", code))
    environments = [TEMPLATE["Globals"]["Function"], *FUNCTIONS.values()]

    names = {name for owner in environments for name in owner.get("Environment", {}).get("Variables", {})}

    # What is left over is Powertools' own to read.
    assert {name for name in names if not name.startswith("POWERTOOLS_")} <= read <= names


def actions(**parameters: str) -> dict[str, set[str]]:
    """What all policies of each role allow together, inline and attached ones, as the stack is deployed."""
    deployed = Deployment(TEMPLATE, "rotation", "eu-central-1", "123456789012", parameters=parameters)
    return {
        role: {
            action
            for document in documents
            for statement in document["Statement"]
            if statement["Effect"] == "Allow"
            for action in as_set(statement["Action"])
        }
        for role, documents in deployed.roles().items()
    }


def test_a_role_holds_the_listed_actions_and_no_other() -> None:
    assert actions(VpcSubnetIds="subnet-1") == ACTIONS
    assert actions() == {role: listed - INTERFACES for role, listed in ACTIONS.items()}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_uses_the_stacks_key_for_the_listed_things_and_no_other(role: str) -> None:
    held = set()
    for statement in key_statements(role):
        assert statement["Resource"] == {"Ref": "KeyArn"}
        ((confined_by, _),) = statement["Condition"]["StringEquals"].items()
        held.add((confined_by, frozenset(as_set(statement["Action"]))))

    assert held == KEY_ACTIONS.get(role, set())


def test_what_the_stack_stores_is_encrypted_with_its_key() -> None:
    given = {"If": ["HasKey", {"Ref": "KeyArn"}, {"Ref": "AWS::NoValue"}]}
    by = {
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::SQS::Queue": "KmsMasterKeyId",
    }

    for kind, key in by.items():
        assert of_type(kind)
        assert {text(body.get(key)) for body in of_type(kind).values()} == {text(given)}, kind
    assert MACHINE["EncryptionConfiguration"]["If"][1]["KmsKeyId"] == {"Ref": "KeyArn"}
    # Without one, the queue has a key of SQS.
    assert [body["SqsManagedSseEnabled"]["If"][2] for body in of_type("AWS::SQS::Queue").values()] == [True]


def test_the_template_is_short_enough_to_read_and_in_the_order_of_the_workflow() -> None:
    lines = (ROOT / "template.yaml").read_text().splitlines()
    order = [name for name in RESOURCES if name.endswith(("Function", "StateMachine")) or name == "Monitoring"]

    assert len(lines) <= LONGEST_TEMPLATE
    assert order == [
        "RotateFunction",
        *(json.loads(DEFINITION)["States"][step]["Parameters"]["FunctionName"][2:-4] for step in STEPS),
        "RotationStateMachine",
        "Monitoring",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_no_policy_of_aws(role: str) -> None:
    assert ROLES[role].get("ManagedPolicyArns") in (
        None,
        {"If": ["HasVpc", [{"Ref": "NetworkInterfacePolicy"}], {"Ref": "AWS::NoValue"}]},
    )


def test_each_function_has_a_role_of_its_own() -> None:
    assert {name: body["Role"] for name, body in FUNCTIONS.items()} == {
        name: {"GetAtt": name.replace("Function", "Role.Arn")} for name in FUNCTIONS
    }


def test_every_statement_on_secrets_is_confined_to_secrets_that_chose_this_rotation_function() -> None:
    arn = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${Name}"
    built = {"Sub": [arn, {"Name": RESOURCES["RotateFunction"]["Properties"]["FunctionName"]}]}

    for role, statement in about_secrets():
        if statement in admin_statements():
            continue
        allowed = statement["Condition"]["StringEquals"]["secretsmanager:resource/AllowRotationLambdaArn"]
        assert allowed == (built if role == "RotateRole" else {"GetAtt": "RotateFunction.Arn"}), role


ADMIN_TAG = "secretsmanager:ResourceTag/rotation:admin"


def admin_statements() -> list[Json]:
    return [each for _, each in about_secrets() if ADMIN_TAG in each["Condition"]["StringEquals"]]


def test_an_admin_secret_is_read_by_the_two_that_log_in_as_admin_if_its_tag_names_this_stack() -> None:
    tagged = {ADMIN_TAG: {"Ref": "AWS::StackName"}}
    conditions = {
        "secretsmanager:DescribeSecret": {"StringEquals": tagged},
        "secretsmanager:GetSecretValue": {"StringEquals": tagged | {"secretsmanager:VersionStage": "AWSCURRENT"}},
    }

    found = [(role, each["Action"]) for role, each in about_secrets() if each in admin_statements()]

    assert sorted(found) == sorted(product(("SetSecretRole", "RollBackRole"), conditions))
    assert all(each["Condition"] == conditions[each["Action"]] for each in admin_statements())


def test_stages_are_confined_where_iam_has_the_key_for_it() -> None:
    confined = {
        (role, statement["Action"]): as_set(statement["Condition"]["StringEquals"]["secretsmanager:VersionStage"])
        for role, statement in about_secrets()
        if "secretsmanager:VersionStage" in statement["Condition"]["StringEquals"]
        and statement not in admin_statements()
    }

    assert confined == STAGES


def test_keys_are_used_through_secrets_manager_for_secrets_of_this_account_and_region_only() -> None:
    """A secret's value is encrypted in the context of its ARN, which names its Region, a promoted replica's too.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html
    """
    found = about("kms")
    secrets = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:*"

    assert len(found) == len([role for role in ACTIONS if ACTIONS[role] >= DECRYPT])
    for role, statement in found:
        assert statement["Resource"] == {"Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"}
        assert statement["Condition"] == {
            "StringEquals": {"kms:ViaService": {"Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"}},
            "StringLike": {"kms:EncryptionContext:SecretARN": {"Sub": secrets}},
        }, role


def test_only_the_list_of_secrets_logs_and_traces_are_allowed_on_every_resource() -> None:
    unconfined = {
        action
        for role in ROLES
        for statement in statements(role)
        if statement["Resource"] == "*"
        for action in as_set(statement["Action"])
    }

    assert {action for action in unconfined if action.split(":")[0] not in ("logs", "xray")} == {
        "secretsmanager:ListSecrets"
    }


def test_the_machine_may_invoke_exactly_the_functions_of_its_tasks() -> None:
    (invoke,) = [statement for _, statement in about("lambda")]

    assert {arn["GetAtt"] for arn in invoke["Resource"]} == {f"{name}.Arn" for name in STEP_FUNCTIONS}


def test_only_the_functions_that_log_in_to_the_service_are_in_the_vpc() -> None:
    assert {name for name in FUNCTIONS if "VpcConfig" in FUNCTIONS[name]} == IN_VPC
    with_interfaces = {role for role in ROLES if "ManagedPolicyArns" in ROLES[role]}
    assert with_interfaces == {name.replace("Function", "Role") for name in IN_VPC}


def test_a_function_ends_before_its_state_the_state_before_the_machine_and_that_before_rotate() -> None:
    definition = json.loads(DEFINITION)
    by_arn = {f"${{{key}}}": value["GetAtt"] for key, value in substituted_functions().items()}
    tasks = [state for state in definition["States"].values() if "FunctionName" in state.get("Parameters", {})]

    assert {by_arn[state["Parameters"]["FunctionName"]].removesuffix(".Arn") for state in tasks} == STEP_FUNCTIONS
    for state in tasks:
        function = by_arn[state["Parameters"]["FunctionName"]].removesuffix(".Arn")
        assert FUNCTIONS[function]["Timeout"] < state["TimeoutSeconds"] < definition["TimeoutSeconds"], function
    assert definition["TimeoutSeconds"] < FUNCTIONS["RotateFunction"]["Timeout"]


def substituted_functions() -> Json:
    return {key: value for key, value in MACHINE["DefinitionSubstitutions"].items() if key.endswith("FunctionArn")}


def test_everything_that_logs_has_a_log_group_of_its_own_that_forgets() -> None:
    groups = of_type("AWS::Logs::LogGroup")
    machine_group = MACHINE["LoggingConfiguration"]["Destinations"][0]["CloudWatchLogsLogGroup"]["LogGroupArn"][
        "GetAtt"
    ]
    used = [body["LoggingConfig"]["LogGroup"]["Ref"] for body in FUNCTIONS.values()]

    assert sorted([*used, machine_group.removesuffix(".Arn")]) == sorted(groups)
    assert {text(group["RetentionInDays"]) for group in groups.values()} == {text({"Ref": "LogRetentionDays"})}


def test_a_function_writes_to_its_own_log_group_only() -> None:
    for name, body in FUNCTIONS.items():
        role = name.replace("Function", "Role")
        (logs,) = [statement for holder, statement in about("logs") if holder == role]
        assert logs["Resource"] == {"GetAtt": f"{body['LoggingConfig']['LogGroup']['Ref']}.Arn"}


def test_neither_the_machines_log_nor_a_debug_level_can_show_what_must_stay_unseen() -> None:
    assert MACHINE["LoggingConfiguration"]["IncludeExecutionData"] is False
    for owner in (TEMPLATE["Globals"]["Function"], ALL["FindOverdueFunction"]["Properties"]):
        assert owner["LoggingConfig"]["ApplicationLogLevel"] == "INFO"
    assert set(TEMPLATE["Parameters"]["LogLevel"]["AllowedValues"]) == {"INFO", "WARN", "ERROR"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "events" / "eventbridge").glob("execution_*")), ids=lambda path: path.stem
)
def test_rotate_hears_which_execution_ended_and_never_its_input(path: Path) -> None:
    event = json.loads(path.read_text())
    rule = of_type("AWS::Events::Rule")["ExecutionEndedRule"]
    (target,) = rule["Targets"]

    heard = json.loads(transformed(target["InputTransformer"], event))

    assert "RotationToken" in event["detail"]["input"]
    assert event["detail"]["status"] in rule["EventPattern"]["detail"]["status"]
    assert heard == {
        "source": event["source"],
        "detail-type": event["detail-type"],
        "detail": {key: event["detail"][key] for key in ("executionArn", "stateMachineArn", "name", "status")},
    }


def transformed(transformer: Json, event: Json) -> str:
    """What EventBridge makes of an event: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html"""
    result: str = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for key in path.removeprefix("$.").split("."):
            value = value[key]
        result = result.replace(f"<{name}>", json.dumps(value))
    return result


def test_secrets_are_looked_over_at_the_same_hour_of_every_day() -> None:
    rule = of_type("AWS::Events::Rule")["FindOverdueRule"]

    assert re.fullmatch(r"cron\(\d+ \d+ \* \* \? \*\)", rule["ScheduleExpression"])
    assert rule["Targets"] == [{"Id": "FindOverdue", "Arn": {"GetAtt": "FindOverdueFunction.Arn"}}]


def test_metrics_are_told_apart_by_the_name_of_the_stack() -> None:
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_a_parameter_explains_itself_and_can_be_left_out(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]

    assert parameter["Description"]
    assert "Default" in parameter


def test_every_parameter_stands_in_a_group_of_the_console() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(TEMPLATE["Parameters"])


def test_what_follows_create_secret_gets_ready_when_an_execution_starts_and_every_week_and_hears_nothing_of_it() -> (
    None
):
    rule = of_type("AWS::Events::Rule")["KeepReadyRule"]
    ended = of_type("AWS::Events::Rule")["ExecutionEndedRule"]["EventPattern"]

    called = {target["Id"] + "Function" for target in rule["Targets"]}
    allowed = {
        body["FunctionName"]["Ref"]
        for body in of_type("AWS::Lambda::Permission").values()
        if body.get("SourceArn") == {"GetAtt": "KeepReadyRule.Arn"}
    }

    assert called == allowed == {f"{name}Function" for name in STEPS if name != "CreateSecret"} > IN_VPC
    # The event has the execution's input, which carries the RotationToken.
    assert all(json.loads(target["Input"]) == step_handler.KEEP_READY for target in rule["Targets"])
    assert rule["EventPattern"] == ended | {"detail": ended["detail"] | {"status": ["RUNNING"]}}
    assert rule["ScheduleExpression"] == "rate(7 days)"


@pytest.mark.parametrize("name", ["template.yaml", "monitoring.yaml", "statemachine/rotation.asl.json"])
def test_no_partition_is_written_out(name: str) -> None:
    """An ARN, or a host of AWS, but those of services as principals, which are the same in every partition."""
    text = re.sub(r"Service: \w+\.amazonaws\.com|Principal: \w+\.amazonaws\.com", "", (ROOT / name).read_text())

    assert re.findall(r"arn:aws\S*|\S*\.amazonaws\.com\S*", text.partition("Mappings:")[0]) == []
    assert re.findall(r"arn:aws\S*|\S*\.amazonaws\.com\S*", text.partition("Conditions:")[2]) == []


@pytest.mark.parametrize("profile", ["default", "prod"])
def test_a_profile_of_the_sam_cli_names_parameters_that_exist_and_what_the_nested_stack_needs(profile: str) -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())[profile]["deploy"]["parameters"]
    given = dict(each.split("=", 1) for each in settings.get("parameter_overrides", []))

    assert settings["capabilities"].split() == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    assert given.keys() <= TEMPLATE["Parameters"].keys()
    for name, value in given.items():
        assert re.search(TEMPLATE["Parameters"][name].get("AllowedPattern", ""), value), name
    assert bool(given) == settings.get("confirm_changeset", False)
