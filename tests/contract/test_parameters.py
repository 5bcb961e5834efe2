"""What a stack comes to by its parameters: what the nested stack is given, what is there, who is called."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rotatorctl.local.certificates import CertificateAuthority
from tests.templates import ROOT, TEMPLATE, Deployment

type Json = dict[str, Any]

REGION, ACCOUNT, STACK = "eu-central-1", "123456789012", "prod-rotation"
OF_STATES, OF_LAMBDA = (f"arn:aws:{service}:{REGION}:{ACCOUNT}:" for service in ("states", "lambda"))
OF_SNS, OF_SQS, OF_EVENTS = (f"arn:aws:{service}:{REGION}:{ACCOUNT}:" for service in ("sns", "sqs", "events"))
LOGS = [f"/aws/lambda/{STACK}/{step}" for step in ("rotate", "create-secret", "set-secret", "test-secret")]
LOGS += [f"/aws/lambda/{STACK}/{step}" for step in ("finish-secret", "roll-back")]
KEY, PAGER, NOTICES = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1", f"{OF_SNS}pager", f"{OF_SNS}NoticeTopic"
STEPS = ("CreateSecret", "SetSecret", "TestSecret", "FinishSecret", "RollBack")

CA = CertificateAuthority.made().pem

# Every parameter with another value than by default.
GIVEN: Json = {
    "AlertEmail": "team@example.com",
    "PagerArn": PAGER,
    "TellSuccess": "true",
    "TellRotationFailed": "true",
    "RunbookUrl": "https://wiki.example.com/failures",
    "VpcSubnetIds": "subnet-1,subnet-2",
    "VpcSecurityGroupIds": "sg-1",
    "PrivateCaCertificate": CA,
    "KeyArn": KEY,
    "FunctionName": "shop-rotate",
    "Architecture": "x86_64",
    "LogLevel": "WARN",
    "LogRetentionDays": 7,
}

# What the nested stack is given by default, and what each parameter alone changes of that.
BY_DEFAULT: Json = {
    "Name": STACK,
    "RotateFunctionName": f"{STACK}-rotate",
    "RotateFunctionArn": f"{OF_LAMBDA}function:{STACK}-rotate",
    "RotateRoleName": "RotateRole",
    "StateMachineArn": f"{OF_STATES}stateMachine:RotationStateMachine",
    "ConsoleHost": "console.aws.amazon.com",
    "AlertTopicArn": f"{OF_SNS}AlertTopic",
    "AlertEmail": "",
    "PagerArn": "",
    "RunbookUrl": "docs/failures.md",
    "RotationFailedRules": "false",
    "RotateLogGroup": LOGS[0],
    "RollBackLogGroup": LOGS[5],
    "LogGroupNames": ",".join(LOGS),
    "LogRetentionDays": 90,
    "LogLevel": "INFO",
    "Architecture": "arm64",
    "KeyArn": "",
}
NOT_PASSED_ON = {"TellSuccess", "VpcSubnetIds", "VpcSecurityGroupIds", "PrivateCaCertificate"}
PASSED_ON: dict[str, Json] = {name: {name: value} for name, value in GIVEN.items() if name not in NOT_PASSED_ON}
PASSED_ON |= {
    "TellRotationFailed": {"RotationFailedRules": "true"},
    "FunctionName": {"RotateFunctionName": "shop-rotate", "RotateFunctionArn": f"{OF_LAMBDA}function:shop-rotate"},
}

# What is there only with a parameter, and only without it.
ONLY_WITH = {
    "AlertEmail": {"AlertEmailSubscription", "NoticeSubscription"},
    "TellRotationFailed": {"RotationFailedRule"},
    "VpcSubnetIds": {"NetworkInterfacePolicy"},
}
ONLY_WITHOUT = {"KeyArn": {"AlertFailedRule"}}

# What each parameter alone changes in the environments of functions.
EVERY = {f"{step}Function" for step in (*STEPS, "Rotate", "FindOverdue")}
READ: dict[str, dict[str, set[str]]] = {
    "RunbookUrl": {"RUNBOOK_URL": EVERY},
    "LogLevel": {"POWERTOOLS_LOG_LEVEL": EVERY},
    "TellSuccess": {"TELL_SUCCESS": {"FinishSecretFunction", "RollBackFunction"}},
    "PrivateCaCertificate": {"PRIVATE_CA": {"SetSecretFunction", "TestSecretFunction", "RollBackFunction"}},
    "FunctionName": {"ROTATE_FUNCTION_ARN": {"FindOverdueFunction"}},
}

each_parameter = pytest.mark.parametrize("name", TEMPLATE["Parameters"])


def deployed(*names: str) -> Deployment:
    return Deployment(TEMPLATE, STACK, REGION, ACCOUNT, parameters={name: GIVEN[name] for name in names})


def nested(*names: str) -> Deployment:
    return deployed(*names).nested()


def resolved(deployment: Deployment, resource: str, key: str, absent: Any = None) -> Any:
    """A property as it is deployed; `absent` if AWS::NoValue leaves none."""
    return deployment.resolve({key: deployment.present()[resource][key]}).get(key, absent)


def changed[Name](before: Mapping[Name, Any], after: Mapping[Name, Any]) -> dict[Name, Any]:
    """What is another value, or there only after."""
    return {name: value for name, value in after.items() if before.get(name) != value}


def resources(*names: str) -> set[str]:
    return {*deployed(*names).present(), *nested(*names).present()}


def environments(*names: str) -> dict[tuple[str, str], Any]:
    """The variables of all functions, each by its name and that of its function."""
    found: dict[tuple[str, str], Any] = {}
    common = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    for stack, inherited in ((deployed(*names), common), (nested(*names), {})):
        for function, body in stack.present().items():
            if "Handler" in body:
                variables = stack.resolve(inherited | body.get("Environment", {}).get("Variables", {}))
                found |= {(variable, function): value for variable, value in variables.items()}
    return found


TOO_FEW = {"VpcSubnetIds": "VpcSubnetIds needs VpcSecurityGroupIds."}
TOO_FEW |= {"VpcSecurityGroupIds": "VpcSecurityGroupIds needs VpcSubnetIds."}


@pytest.mark.parametrize("names", [(), *((name,) for name in GIVEN), tuple(TOO_FEW), tuple(GIVEN)])
def test_subnets_and_security_groups_are_refused_without_each_other_and_nothing_else_is(names: tuple[str, ...]) -> None:
    assert deployed(*names).refusals() == [TOO_FEW[name] for name in names if name in TOO_FEW and len(names) == 1]


# By parameter, values that are taken and values that are refused.
VALUES: dict[str, tuple[list[str], list[str]]] = {
    "RunbookUrl": (
        ["", "docs/failures.md", "https://wiki.example.com/rotation?version=2", "https://[2001:db8::1]:8443/~ops/a_b"],
        ["http://wiki.example.com", "docs/others.md", "docs/failures-md", "https://", "wiki https://example.com"],
    ),
    "PagerArn": (
        [
            "",
            PAGER,
            "arn:aws-cn:sns:cn-north-1:123456789012:pager",
            "arn:aws-us-gov:sns:us-gov-west-1:123456789012:pager",
            "arn:aws:ssm-incidents::123456789012:response-plan/pager",
        ],
        [
            "pager",
            "arn:aws:sns",
            "arn:aws:sns:eu-central-1:123456789012:",
            "arn:aws:sns:eu-central-1::pager",
            "arn:aws:sns:eu-central-1:12345678901:pager",
            "arn:aws::eu-central-1:123456789012:pager",
            f" {PAGER}",
            f"{PAGER} ",
        ],
    ),
    "PrivateCaCertificate": (
        ["", CA, CA.rstrip(), CA.replace("\n", "\r\n"), CA + CA],
        ["-----BEGIN", "-----BEGIN CERTIFICATE-----", CA.partition("\n")[2], CA[:-9], "ca.pem", f"file://ca.pem\n{CA}"],
    ),
}
MEANS_SOMETHING = (" ", "\t", "\n", '"', "'", "\\", "{", "}", "<", ">")


@pytest.mark.parametrize("name", VALUES)
def test_a_parameter_takes_what_it_is_for_and_nothing_else(name: str) -> None:
    """A pattern has to match the whole value:

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
    """
    taken, refused = VALUES[name]
    pattern = re.compile(TEMPLATE["Parameters"][name]["AllowedPattern"])

    assert [value for value in taken if not pattern.fullmatch(value)] == []
    assert [value for value in refused if pattern.fullmatch(value)] == []


@pytest.mark.parametrize("sign", MEANS_SOMETHING)
def test_a_runbooks_url_holds_no_sign_that_means_something_where_it_is_filled_in(sign: str) -> None:
    """In the state machine's definition and its intrinsic functions, and in what EventBridge makes a message of."""
    pattern = re.compile(TEMPLATE["Parameters"]["RunbookUrl"]["AllowedPattern"])

    assert not pattern.fullmatch(f"https://wiki.example.com/{sign}")
    assert not pattern.fullmatch(f"https://wiki.example.com/a{sign}b")


def by_sam(code: str, given: str) -> Any:
    """What the SAM CLI makes of a text; it has an environment of its own."""
    program = f"import json, sys; given = sys.stdin.read(); {code}; json.dump(made, sys.stdout)"
    command: list[str | Path] = [ROOT / ".venv-sam/bin/python", "-c", program]
    return json.loads(subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout)


def as_sam_reads(overrides: str) -> Any:
    code = "from samcli.cli.types import CfnParameterOverridesType as Type; made = Type().convert((given,), None, None)"
    return by_sam(code, overrides)


def as_sam_keeps(value: str) -> str:
    code = "from samcli.commands.deploy.guided_config import GuidedConfig; "
    return str(by_sam(code + "made = GuidedConfig.quote_parameter_values(given)", value))


def test_the_command_for_a_certificate_hands_over_all_of_it_and_unquoted_it_is_refused(tmp_path: Path) -> None:
    page = (ROOT / "docs/deploying.md").read_text()
    (overrides,) = set(
        re.findall(r'^sam deploy .*--parameter-overrides ("PrivateCaCertificate=.*")$', page, re.MULTILINE)
    )
    (tmp_path / "ca.pem").write_text(CA)
    shell = ["bash", "-c", f"printf %s {overrides}"]

    given = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert as_sam_reads(given) == {"PrivateCaCertificate": CA.rstrip()}
    unquoted = as_sam_reads(f"PrivateCaCertificate={CA}")["PrivateCaCertificate"]
    assert not re.fullmatch(TEMPLATE["Parameters"]["PrivateCaCertificate"]["AllowedPattern"], unquoted)
    # As --guided keeps it in samconfig.toml.
    assert as_sam_reads(f"PrivateCaCertificate={as_sam_keeps(CA)}")["PrivateCaCertificate"] == CA


def test_every_parameter_is_tried() -> None:
    assert GIVEN.keys() == TEMPLATE["Parameters"].keys()
    assert not {name for name, value in GIVEN.items() if value == TEMPLATE["Parameters"][name].get("Default")}


def test_the_nested_stack_is_given_each_value_under_its_name() -> None:
    assert nested().parameters == BY_DEFAULT


@each_parameter
def test_a_parameter_changes_its_own_value_in_the_nested_stack_and_no_other(name: str) -> None:
    assert changed(BY_DEFAULT, nested(name).parameters) == PASSED_ON.get(name, {})


@each_parameter
def test_a_parameter_brings_or_takes_its_own_resources_and_no_others(name: str) -> None:
    assert resources(name) - resources() == ONLY_WITH.get(name, set())
    assert resources() - resources(name) == ONLY_WITHOUT.get(name, set())


@each_parameter
def test_a_parameter_is_read_by_the_functions_that_need_it_in_its_own_variable(name: str) -> None:
    given = nested(name).parameters["RotateFunctionArn"] if name == "FunctionName" else GIVEN[name]
    read = {(variable, function): given for variable, by in READ.get(name, {}).items() for function in by}

    assert changed(environments(), environments(name)) == read


def test_what_finds_overdue_secrets_is_told_whose_they_are_and_where_to_tell() -> None:
    variables = environments()

    assert variables["ROTATE_FUNCTION_ARN", "FindOverdueFunction"] == BY_DEFAULT["RotateFunctionArn"]
    assert variables["ALERT_TOPIC_ARN", "FindOverdueFunction"] == BY_DEFAULT["AlertTopicArn"]
    assert variables["RUNBOOK_URL", "FindOverdueFunction"] == "docs/failures.md"
    assert {variables["POWERTOOLS_SERVICE_NAME", function] for function in EVERY} == {STACK}


def test_the_workflow_calls_each_states_own_function_and_tells_the_alert_topic() -> None:
    arns = {f"{step}FunctionArn": f"{OF_LAMBDA}function:{step}Function" for step in STEPS}

    substituted = resolved(deployed("RunbookUrl"), "RotationStateMachine", "DefinitionSubstitutions")

    assert substituted == arns | {
        "Partition": "aws",
        "AlertTopicArn": BY_DEFAULT["AlertTopicArn"],
        "RunbookUrl": GIVEN["RunbookUrl"],
        "ConsoleUrl": f"https://console.aws.amazon.com/states/home?region={REGION}#/v2/executions/details",
    }


@pytest.mark.parametrize(
    ("names", "needs_a_person", "not_told", "undelivered"),
    [
        ((), [], [], [NOTICES]),
        (("AlertEmail", "TellRotationFailed"), [], [], [NOTICES]),
        (("PagerArn",), [PAGER], [], [PAGER, NOTICES]),
        (("KeyArn",), [], [NOTICES], [NOTICES]),
        (("PagerArn", "KeyArn"), [PAGER], [NOTICES], [PAGER, NOTICES]),
    ],
)
def test_an_alarm_calls_the_pager_if_there_is_one_and_the_topic_for_what_nothing_else_tells(
    names: tuple[str, ...], needs_a_person: list[str], not_told: list[str], undelivered: list[str]
) -> None:
    stack = nested(*names)
    alarms = [name for name in stack.present() if name.endswith("Alarm")]

    assert {name: resolved(stack, name, "AlarmActions", []) for name in alarms} == {
        "NeedsAPersonAlarm": needs_a_person,
        "NotToldAlarm": not_told,
        "RotationNotStartedAlarm": [NOTICES],
        "RotateThrottledAlarm": [NOTICES],
        "UndeliveredAlertsAlarm": undelivered,
    }


@pytest.mark.parametrize("names", [(), ("KeyArn",), ("TellRotationFailed",), ("KeyArn", "TellRotationFailed")])
def test_the_queue_takes_what_the_rules_could_not_deliver_that_are_there(names: tuple[str, ...]) -> None:
    stack = nested(*names)
    (statement,) = resolved(stack, "UndeliveredAlertsPolicy", "PolicyDocument")["Statement"]
    rules = {name for name, body in stack.present().items() if "DeadLetterConfig" in str(body)}

    assert set(statement["Condition"]["ArnEquals"]["aws:SourceArn"]) == {f"{OF_EVENTS}rule/{name}" for name in rules}
    assert statement["Resource"] == f"{OF_SQS}UndeliveredAlerts"
    for name in rules:
        (target,) = resolved(stack, name, "Targets")
        assert (target["Arn"], target["DeadLetterConfig"]) == (NOTICES, {"Arn": f"{OF_SQS}UndeliveredAlerts"})


def test_both_topics_write_to_the_address() -> None:
    for stack, topic, name in (
        (deployed("AlertEmail"), "AlertTopic", "AlertEmailSubscription"),
        (nested("AlertEmail"), "NoticeTopic", "NoticeSubscription"),
    ):
        body = stack.resolve(stack.present()[name])
        assert body == {"TopicArn": f"{OF_SNS}{topic}", "Protocol": "email", "Endpoint": "team@example.com"}


@pytest.mark.parametrize("names", [(), ("KeyArn",)])
def test_a_rollback_that_broke_is_told_by_a_rule_if_its_event_holds_an_error(names: tuple[str, ...]) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/encryption-at-rest.html"""
    detail = resolved(nested(*names), "RollbackEndedRule", "EventPattern")["detail"]

    assert detail["stateMachineArn"] == [BY_DEFAULT["StateMachineArn"]]
    assert ("error" in str(detail)) == (names == ())


@pytest.mark.parametrize(("names", "key"), [((), None), (("KeyArn",), KEY)])
def test_all_that_is_stored_is_under_the_key_that_was_given(names: tuple[str, ...], key: str | None) -> None:
    kept = [
        resolved(stack, name, written)
        for stack in (deployed(*names), nested(*names))
        for name, body in stack.present().items()
        for written in ("KmsKeyId", "KmsMasterKeyId")
        if written in body
    ]

    assert kept == [key] * len(kept)
    assert len(kept) == 11
    assert resolved(nested(*names), "UndeliveredAlerts", "SqsManagedSseEnabled") == (None if key else True)
    encryption = {"Type": "CUSTOMER_MANAGED_KMS_KEY", "KmsKeyId": key} if key else {"Type": "AWS_OWNED_KEY"}
    assert resolved(deployed(*names), "RotationStateMachine", "EncryptionConfiguration") == encryption


def test_the_alarm_the_destinations_and_the_queries_are_of_what_they_watch() -> None:
    stack = nested("FunctionName")

    assert resolved(stack, "RotateThrottledAlarm", "Dimensions") == [{"Name": "FunctionName", "Value": "shop-rotate"}]
    assert resolved(stack, "RotateFailures", "FunctionName") == "shop-rotate"
    assert resolved(stack, "MayTellOfFailures", "Roles") == ["RotateRole", "FindOverdueRole"]
    assert resolved(stack, "FailuresQuery", "LogGroupNames") == [LOGS[5], LOGS[0]]
    for query in ("OneSecretQuery", "NotStartedQuery"):
        assert resolved(stack, query, "LogGroupNames") == [*LOGS, f"/aws/lambda/{STACK}/overdue"]
