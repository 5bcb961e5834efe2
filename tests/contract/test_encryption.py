"""The key policies of docs/encryption.md are what the templates need: each service and role with its rights."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.contract.test_template import ALL, MACHINE, ROLES, as_set, key_statements, of_type, statements, text
from tests.templates import ROOT

type Json = dict[str, Any]

PAGE, SECURITY, DEPLOYING = (
    (ROOT / name).read_text() for name in ("docs/encryption.md", "SECURITY.md", "docs/deploying.md")
)
ACCOUNT = "123456789012"
# The page's example. The rotate function's role is a parameter of the nested stack.
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "secret-rotation",
    "Name": "secret-rotation",
}
ROLE_OF = {"RotateRoleName": "RotateRole", "FindOverdueRole": "FindOverdueRole"}


def policy(name: str) -> Any:
    (found,) = re.findall(rf"<!-- policy: {name} -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    return json.loads(found)


def rendered(value: Any, stack: Mapping[str, str] = VALUES) -> Any:
    """A value of a template as the example's account would have it, or with other values for what it names."""
    if isinstance(value, dict):
        if "Sub" in value:
            return re.sub(r"\$\{([\w:]+)\}", lambda match: stack[match[1]], value["Sub"])
        return {key: rendered(inner, stack) for key, inner in value.items()}
    return value


def right(statement: Json) -> str:
    return text({"may": sorted(as_set(statement["Action"])), "if": rendered(statement["Condition"])})


def of_the_templates() -> Iterator[tuple[str, str]]:
    """Each role with each of its rights on the key."""
    yield from ((role, right(statement)) for role in ROLES for statement in key_statements(role))
    for body in of_type("AWS::IAM::Policy").values():
        for statement in body["PolicyDocument"]["Statement"]:
            if "If" in statement:
                yield from ((ROLE_OF[role["Ref"]], right(statement["If"][1])) for role in body["Roles"])


def services() -> dict[str, Json]:
    """The statements of the key's policy by their service."""
    of_services = [each for each in policy("key")["Statement"] if "Service" in each["Principal"]]
    return {each["Principal"]["Service"]: each for each in of_services}


def test_the_roles_of_the_page_have_the_rights_that_the_templates_give_them() -> None:
    of_the_page = {(role, right(each)) for each in policy("roles") for role in each["Principal"]["AWS"]}

    assert of_the_page == set(of_the_templates())


@pytest.mark.parametrize("name", ["RotationStateMachineRole", "FindOverdueRole", "TellRole"])
def test_whoever_may_publish_to_a_topic_may_use_its_key(name: str) -> None:
    assert "sns:Publish" in text(ROLES[name])
    assert "sns.us-east-1.amazonaws.com" in text([given for role, given in of_the_templates() if role == name])


def test_no_other_role_publishes() -> None:
    publishing = {name for name in ROLES if "sns:Publish" in text(ROLES[name])}

    assert publishing == {"RotationStateMachineRole", "FindOverdueRole", "TellRole"}


def test_the_key_serves_each_service_that_the_templates_let_write_by_itself() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    dead_letters = [rule for rule in of_type("AWS::Events::Rule").values() if "DeadLetterConfig" in text(rule)]

    used = {
        "logs.us-east-1.amazonaws.com": bool(of_type("AWS::Logs::LogGroup")),
        "delivery.logs.amazonaws.com": MACHINE["LoggingConfiguration"]["Level"] != "OFF",
        "cloudwatch.amazonaws.com": any("NoticeTopic" in text(alarm["AlarmActions"]) for alarm in alarms),
        "events.amazonaws.com": bool(dead_letters),
    }

    assert services().keys() == {service for service, uses in used.items() if uses}


def patterns() -> dict[str, list[str]]:
    """What the page lets CloudWatch Logs encrypt, by the stack's name."""
    example = services()["logs.us-east-1.amazonaws.com"]["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    others = re.findall(r"<!-- log groups: (\S+) -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    return {VALUES["AWS::StackName"]: example} | {name: json.loads(found) for name, found in others}


def served(groups: list[str], name: str) -> list[bool]:
    """Of each log group of a stack of that name, whether one of the patterns is its ARN's."""
    stack = dict.fromkeys(("AWS::StackName", "Name"), name)
    arns = [
        f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{rendered(group['LogGroupName'], stack)}"
        for group in of_type("AWS::Logs::LogGroup").values()
    ]
    return [any(fnmatchcase(arn, pattern) for pattern in groups) for arn in arns]


@pytest.mark.parametrize("name", ["secret-rotation", "secret-rotation-payments", "shop-Rotation-1A2B3C4D5E6F7"])
def test_a_key_serves_every_log_group_of_its_own_stack_and_none_of_another(name: str) -> None:
    assert {other: set(served(groups, name)) for other, groups in patterns().items()} == {
        other: {other == name} for other in patterns()
    }


def test_a_nested_stack_is_served_whatever_its_name_ends_with_and_no_other_of_its_parent_is() -> None:
    (parents,) = re.findall(r"<!-- template: parent -->\n```yaml\n(.*?)```", DEPLOYING, re.DOTALL)
    (logical,) = re.findall(r"^Resources:\n  (\w+):", parents, re.MULTILINE)
    nested = patterns()["shop-Rotation-1A2B3C4D5E6F7"]

    assert all(served(nested, f"shop-{logical}-A1B2C3D4E5F6"))
    assert not any(served(nested, "shop-Orders-A1B2C3D4E5F6"))


def test_the_profile_of_a_second_stack_is_that_of_the_first_under_another_name_without_what_is_there_once() -> None:
    (block,) = re.findall(r"<!-- profile: second -->\n```toml\n(.*?)```", DEPLOYING, re.DOTALL)
    ((profile, commands),) = tomllib.loads(block).items()
    second = commands["deploy"]["parameters"]
    first = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]

    assert f"sam deploy --config-env {profile}`" in DEPLOYING
    assert second.pop("stack_name") in patterns().keys() - {"secret-rotation"}
    assert not {"FunctionName", "KeyArn"} & {each.partition("=")[0] for each in second.pop("parameter_overrides")}
    assert second == first


def test_alarms_use_the_key_for_this_account_alone() -> None:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services"""
    assert services()["cloudwatch.amazonaws.com"]["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_the_workflows_log_is_read_on_its_way_under_the_context_with_which_it_is_written() -> None:
    written = [each["Condition"] for each in policy("roles") if each["Sid"] == "TheWorkflowsLogOnItsWay"]

    assert [services()["delivery.logs.amazonaws.com"]["Condition"]] == written


def test_one_services_statement_has_no_condition_and_both_pages_say_so() -> None:
    """AWS's own has none:

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html#eb-sqs-encrypted
    """
    (without,) = [name for name, statement in services().items() if "Condition" not in statement]
    row = re.search(r"^\| \*\*Confused deputy, of EventBridge\*\*.*$", SECURITY, re.MULTILINE)
    (confined,) = ALL["UndeliveredAlertsPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert (without, services()[without]["Sid"]) == ("events.amazonaws.com", "UndeliveredNoticesToTheQueue")
    assert "### Why one statement has no condition\n\n`UndeliveredNoticesToTheQueue`" in PAGE
    assert row and "`UndeliveredNoticesToTheQueue` has no condition" in row[0]
    # What stands in its place, as they say.
    assert confined["Condition"].keys() == {"ArnEquals"}
    assert confined["Condition"]["ArnEquals"].keys() == {"aws:SourceArn"}


def test_the_page_says_for_how_long_the_workflows_data_keys_are_reused() -> None:
    """https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_stepfunctions.CustomerManagedEncryptionConfiguration.html"""
    default = 300

    period = MACHINE["EncryptionConfiguration"]["If"][1].get("KmsDataKeyReusePeriodSeconds", default)

    assert f"[{period} seconds]" in PAGE
    assert f"each for {period // 60} minutes" in PAGE


def test_every_statement_has_its_source() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (\[.*\)) \|$", PAGE, re.MULTILINE))

    assert rows.keys() == {statement["Sid"] for statement in policy("key")["Statement"]}
    assert all("https://docs.aws.amazon.com/" in source for source in rows.values())


def test_the_alarm_for_what_events_no_longer_show_tells_only_under_a_key() -> None:
    alarm = ALL["NotToldAlarm"]["Properties"]

    assert alarm["AlarmActions"] == {"If": ["HasKey", [{"Ref": "NoticeTopic"}], {"Ref": "AWS::NoValue"}]}
    assert ALL["AlertFailedRule"]["Condition"] == "HasNoKey"


def test_the_statements_for_secrets_under_a_key_of_their_own_are_those_of_the_roles() -> None:
    """docs/permissions.md; the roles have them always."""
    (found,) = re.findall(r"```json\n(\[.*?)```", (ROOT / "docs/permissions.md").read_text(), re.DOTALL)
    on_the_page = {
        (role, action, text(each["Condition"]))
        for each in json.loads(found)
        for role in as_set(each["Principal"]["AWS"])
        for action in as_set(each["Action"])
    }

    held = {
        (role, action, text(rendered(statement["Condition"])))
        for role in ROLES
        for statement in statements(role)
        for action in as_set(statement["Action"])
        if action.startswith("kms:")
    }

    assert on_the_page == held
