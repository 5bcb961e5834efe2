"""The nested stack that watches: what template.yaml gives it, and that nothing it has to tell is lost on the way."""

import json
import re
from typing import Any

import pytest

from tests.contract.test_template import RESOURCES as WATCHED
from tests.contract.test_template import as_set
from tests.templates import MONITORING as TEMPLATE
from tests.templates import ROOT

type Json = dict[str, Any]

RESOURCES: Json = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, Json]:
    return {name: body["Properties"] for name, body in RESOURCES.items() if body["Type"] == kind}


RULES = {name: body for name, body in of_type("AWS::Events::Rule").items() if "EventPattern" in body}
ALARMS = of_type("AWS::CloudWatch::Alarm")


def test_every_parameter_is_given_by_the_template_that_nests_it() -> None:
    nested = WATCHED["Monitoring"]["Properties"]

    assert nested["TemplateURL"] == "monitoring.yaml"
    assert nested["Parameters"].keys() == TEMPLATE["Parameters"].keys()
    # What the functions put into their metrics, by POWERTOOLS_SERVICE_NAME.
    assert nested["Parameters"]["Name"] == {"Ref": "AWS::StackName"}
    variables = RESOURCES["FindOverdueFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "Name"}


@pytest.mark.parametrize("name", RULES)
def test_a_notice_goes_to_a_topic_by_a_role_else_to_the_queue_and_never_has_an_executions_input(name: str) -> None:
    (target,) = RULES[name]["Targets"]

    assert target["DeadLetterConfig"] == {"Arn": {"GetAtt": "UndeliveredAlerts.Arn"}}
    assert "RetryPolicy" not in target
    assert target["RoleArn"] == {"GetAtt": "TellRole.Arn"}
    role = RESOURCES["TellRole"]["Properties"]["Policies"][0]
    assert [each["Resource"] for each in role["PolicyDocument"]["Statement"]] == [target["Arn"]]
    assert not {"Input", "InputPath"} & target.keys()
    assert not any("input" in path for path in target["InputTransformer"]["InputPathsMap"].values())
    assert "aws.events.event" not in json.dumps(target["InputTransformer"])


def test_the_queue_takes_what_any_rule_could_not_deliver() -> None:
    (statement,) = RESOURCES["UndeliveredAlertsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    allowed = json.dumps(statement["Condition"]["ArnEquals"]["aws:SourceArn"])

    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert {name for name in RULES if f'"{name}.Arn"' in allowed} == RULES.keys()


@pytest.mark.parametrize("name", of_type("AWS::Lambda::EventInvokeConfig"))
def test_what_a_function_failed_comes_to_the_queue_with_a_role_that_may_send_there(name: str) -> None:
    config = of_type("AWS::Lambda::EventInvokeConfig")[name]
    # The rotate function is the other template's, a parameter here.
    role = config["FunctionName"]["Ref"].replace("Function", "Role")
    (policy,) = [each for each, body in of_type("AWS::IAM::Policy").items() if {"Ref": role} in body["Roles"]]
    statement, with_a_key = RESOURCES[policy]["Properties"]["PolicyDocument"]["Statement"]

    assert config["DestinationConfig"]["OnFailure"]["Destination"] == {"GetAtt": "UndeliveredAlerts.Arn"}
    # Lambda tries the role when it is given the destination.
    assert RESOURCES[name]["DependsOn"] == policy
    assert as_set(statement["Action"]) == {"sqs:SendMessage"}
    assert statement["Resource"] == {"GetAtt": "UndeliveredAlerts.Arn"}
    condition, given, _ = with_a_key["If"]
    assert (condition, as_set(given["Action"])) == ("HasKey", {"kms:Decrypt", "kms:GenerateDataKey"})
    assert given["Condition"] == {"StringEquals": {"kms:ViaService": {"Sub": "sqs.${AWS::Region}.${AWS::URLSuffix}"}}}


def test_stacks_of_one_name_in_two_regions_have_two_dashboards() -> None:
    """Dashboards are global: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListDashboards.html"""
    assert "${AWS::Region}" in RESOURCES["Dashboard"]["Properties"]["DashboardName"]["Sub"]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_it_means_stands_on_the_dashboard_and_is_silent_without_data(name: str) -> None:
    alarm = ALARMS[name]

    assert alarm["AlarmDescription"]
    assert alarm["AlarmActions"]
    # One message when it begins.
    assert not {"OKActions", "InsufficientDataActions"} & alarm.keys()
    assert alarm["TreatMissingData"] == "notBreaching"
    assert f"${{{name}.Arn}}" in RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"]


def test_the_dashboard_is_what_cloudwatch_can_read() -> None:
    body = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"])

    assert {widget["type"] for widget in body["widgets"]} == {"text", "alarm", "metric", "log"}
    places = [(widget["x"], widget["y"]) for widget in body["widgets"]]
    assert len(set(places)) == len(places)


def test_every_alarm_is_in_the_table_of_the_console() -> None:
    rows = re.findall(r"(?m)^\| `(\w+Alarm)` \|", (ROOT / "docs/console.md").read_text())

    assert set(rows) == ALARMS.keys()


def test_every_rule_that_tells_people_is_among_the_ways_to_fail() -> None:
    section = (ROOT / "docs/failures.md").read_text().partition("### Every way to fail")[2].partition("\n\n")[2]
    rows = [row for row in section.splitlines() if row.startswith("| ")]

    assert [name for name in RULES if not any(f"`{name}`" in row for row in rows)] == []
