"""The evaluation of IAM policies, by the rules of the IAM User Guide; each test names its page."""

from typing import Any

import pytest

from rotatorctl.permissions import PolicyError, Role

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf"
ALLOW = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": SECRET}
STAGE = "secretsmanager:VersionStage"


def allowed(
    *statements: dict[str, Any],
    action: str = "secretsmanager:GetSecretValue",
    resource: str = SECRET,
    **context: str,
) -> bool:
    keys = {name.replace("_", ":"): value for name, value in context.items()}
    return not role(*statements).refusal(action, resource, keys)


def role(*statements: dict[str, Any]) -> Role:
    return Role.of("reader", [{"Version": "2012-10-17", "Statement": list(statements)}])


def test_what_no_statement_allows_is_denied() -> None:
    """reference_policies_evaluation-logic_policy-eval-denyallow: "By default, all requests are implicitly denied"."""
    assert not allowed()
    assert not allowed(ALLOW, action="secretsmanager:PutSecretValue")
    assert not allowed(ALLOW, resource=SECRET.replace("app", "other"))
    assert allowed(ALLOW)


def test_an_explicit_deny_overrides_every_allow_in_whatever_order() -> None:
    """reference_policies_evaluation-logic: "An explicit deny in any of these policies overrides the allow"."""
    deny = ALLOW | {"Effect": "Deny"}

    assert not allowed(ALLOW, deny)
    assert not allowed(deny, ALLOW)
    assert allowed(ALLOW, deny | {"Action": "secretsmanager:PutSecretValue"})
    assert allowed(ALLOW, deny | {"Condition": {"StringEquals": {STAGE: "AWSPREVIOUS"}}})


def test_the_policies_of_a_role_add_up() -> None:
    documents = [{"Version": "2012-10-17", "Statement": each} for each in ({**ALLOW, "Action": "sns:Publish"}, ALLOW)]

    assert Role.of("reader", documents).refusal("secretsmanager:GetSecretValue", SECRET, {}) == ""


def test_the_words_of_a_refusal_are_iams() -> None:
    """troubleshoot_access-denied: the examples of an implicit and an explicit denial in an identity-based policy."""
    put, get = "secretsmanager:PutSecretValue", "secretsmanager:GetSecretValue"

    assert role(ALLOW).refusal(put, SECRET, {}) == (
        f"User: reader is not authorized to perform: {put} on resource: {SECRET} because no identity-based policy "
        f"allows the {put} action"
    )
    assert role(ALLOW, ALLOW | {"Effect": "Deny"}).refusal(get, SECRET, {}) == (
        f"User: reader is not authorized to perform: {get} on resource: {SECRET} with an explicit deny in an "
        "identity-based policy"
    )


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("secretsmanager:GetSecretValue", True),
        ("SecretsManager:getsecretvalue", True),
        ("secretsmanager:Get*", True),
        ("secretsmanager:*SecretVal?e", True),
        ("*", True),
        ("secretsmanager:GetSecret", False),
        ("secretsmanager.GetSecretValue", False),
        ("secretsmanager:Get?", False),
        ("kms:*", False),
    ],
)
def test_an_action_knows_no_case_and_may_have_wildcards(pattern: str, matches: bool) -> None:
    """reference_policies_elements_action: "The prefix and the action name are case insensitive"."""
    assert allowed(ALLOW | {"Action": pattern}) == matches
    assert allowed(ALLOW | {"Action": ["sns:Publish", pattern]}) == matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*", True),
        ("arn:aws:secretsmanager:us-east-1:123456789012:secret:*", True),
        ("arn:*:secretsmanager:*:123456789012:secret:app-??????", True),
        ("arn:aws:secretsmanager:us-east-1:123456789012:secret:app-?", False),
        ("arn:aws:secretsmanager:us-east-1:123456789012:secret:App-AbCdEf", False),
        ("arn:aws:secretsmanager:us-east-1:999999999999:secret:*", False),
        ("arn:aws:secretsmanager:us-east-1:*", False),
        ("arn:*:secret:app-AbCdEf", False),
    ],
)
def test_a_resource_is_matched_part_by_part(pattern: str, matches: bool) -> None:
    """reference_policies_elements_resource: wildcards stand "within the individual portions of an ARN"."""
    assert allowed(ALLOW | {"Resource": pattern}) == matches
    assert allowed(ALLOW | {"Resource": ["arn:aws:sns:us-east-1:123456789012:alerts", pattern]}) == matches


def on_stage(operator: str, value: Any) -> dict[str, Any]:
    return ALLOW | {"Condition": {operator: {STAGE: value}}}


@pytest.mark.parametrize(
    ("operator", "value", "stage", "matches"),
    [
        ("StringEquals", "AWSCURRENT", "AWSCURRENT", True),
        ("StringEquals", "AWSCURRENT", "awscurrent", False),
        ("StringEquals", "AWS*", "AWSCURRENT", False),
        ("StringEquals", ["AWSPENDING", "AWSCURRENT"], "AWSCURRENT", True),
        ("StringEquals", ["AWSPENDING", "AWSCURRENT"], "AWSPREVIOUS", False),
        ("StringLike", "AWS*", "AWSCURRENT", True),
        ("StringLike", "AWS?", "AWSCURRENT", False),
        ("StringLike", ["MINE", "AWSP*"], "AWSPENDING", True),
        ("StringEqualsIfExists", "AWSCURRENT", "AWSCURRENT", True),
        ("StringEqualsIfExists", "AWSCURRENT", "AWSPENDING", False),
    ],
)
def test_values_of_one_key_are_alternatives(operator: str, value: Any, stage: str, matches: bool) -> None:
    """reference_policies_elements_condition_operators, String; reference_policies_condition-logic-multiple-…: OR."""
    assert allowed(on_stage(operator, value), secretsmanager_VersionStage=stage) == matches


@pytest.mark.parametrize(
    ("operator", "value", "stage", "matches"),
    [
        ("StringNotEquals", "AWSCURRENT", "AWSCURRENT", False),
        ("StringNotEquals", "AWSCURRENT", "AWSPENDING", True),
        ("StringNotEquals", ["AWSPENDING", "AWSCURRENT"], "AWSCURRENT", False),
        ("StringNotEquals", ["AWSPENDING", "AWSCURRENT"], "AWSPREVIOUS", True),
        ("StringNotLike", "AWS*", "AWSCURRENT", False),
        ("StringNotLike", "AWSP*", "AWSCURRENT", True),
    ],
)
def test_an_operator_with_not_is_met_if_no_value_matches(operator: str, value: Any, stage: str, matches: bool) -> None:
    """reference_policies_condition-logic-multiple-…: "negated matching … evaluated using a logical NOR"."""
    assert allowed(on_stage(operator, value), secretsmanager_VersionStage=stage) == matches


@pytest.mark.parametrize("operator", ["ArnNotEquals", "ArnNotLike"])
def test_an_arn_that_must_not_match_is_compared_part_by_part(operator: str) -> None:
    """reference_policies_elements_condition_operators, ARN: both "behave identically"."""
    role = "arn:aws:iam::123456789012:role/rotate"

    def unless(pattern: str) -> bool:
        statement = ALLOW | {"Condition": {operator: {"aws:PrincipalArn": pattern}}}
        return allowed(statement, aws_PrincipalArn=role)

    assert not unless("arn:aws:iam::*:role/rot*")
    assert unless("arn:aws:iam::*:role/other")


@pytest.mark.parametrize(("value", "matches"), [("true", True), ("True", True), ("false", False)])
def test_a_boolean_knows_no_case(value: str, matches: bool) -> None:
    """reference_policies_elements_condition_operators, Boolean."""
    statement = ALLOW | {"Condition": {"Bool": {"aws:SecureTransport": value}}}

    assert allowed(statement, aws_SecureTransport="true") == matches


@pytest.mark.parametrize(
    ("operator", "matches"),
    [
        ("StringEquals", False),
        ("StringLike", False),
        ("ArnLike", False),
        ("Bool", False),
        ("StringEqualsIfExists", True),
        ("StringNotEquals", True),
        ("StringNotLike", True),
        ("ArnNotEquals", True),
        ("ArnNotLike", True),
    ],
)
def test_a_key_that_the_call_does_not_have_matches_only_if_exists_or_not(operator: str, matches: bool) -> None:
    """reference_policies_elements_condition_operators: "the values do not match and the condition is false"; "such as
    StringNotLike or ArnNotLike, and the right key is not present, the condition is true".
    """
    assert allowed(on_stage(operator, "AWSCURRENT")) == matches


def test_operators_and_keys_must_all_match() -> None:
    """reference_policies_condition-logic-multiple-context-keys-or-values: AND."""
    both = {"StringEquals": {STAGE: "AWSCURRENT", "secretsmanager:SecretId": "app"}, "StringLike": {STAGE: "AWS*"}}

    def with_id(name: str, stage: str) -> bool:
        statement = ALLOW | {"Condition": both}
        return allowed(statement, secretsmanager_SecretId=name, secretsmanager_VersionStage=stage)

    assert with_id("app", "AWSCURRENT")
    assert not with_id("other", "AWSCURRENT")
    assert not with_id("app", "AWSPENDING")


def test_names_of_keys_know_no_case() -> None:
    """reference_policies_elements_condition: "Context key names are not case-sensitive"."""
    statement = ALLOW | {"Condition": {"StringEquals": {"SecretsManager:versionstage": "AWSCURRENT"}}}

    assert allowed(statement, secretsmanager_VersionStage="AWSCURRENT")


@pytest.mark.parametrize("operator", ["ArnEquals", "ArnLike"])
@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("arn:aws:lambda:*:123456789012:function:*", True),
        ("arn:aws:lambda:us-east-1:123456789012:function:rot?te", True),
        ("arn:aws:lambda:us-east-1:123456789012:function:other", False),
        ("arn:aws:lambda:*:function:rotate", False),
    ],
)
def test_the_six_parts_of_an_arn_are_compared_one_by_one(operator: str, pattern: str, matches: bool) -> None:
    """reference_policies_elements_condition_operators, ARN: ArnEquals and ArnLike "behave identically"."""
    statement = ALLOW | {"Condition": {operator: {"lambda:SourceFunctionArn": pattern}}}
    function = "arn:aws:lambda:us-east-1:123456789012:function:rotate"

    assert allowed(statement, lambda_SourceFunctionArn=function) == matches


@pytest.mark.parametrize(
    "wrong",
    [
        {"NotAction": "sns:*"},
        {"NotResource": "*"},
        {"Principal": "*"},
        {"Effect": "allow"},
        {"Action": []},
        {"Resource": [None]},
        {"Condition": {"StringEqualsIgnoreCase": {STAGE: "AWSCURRENT"}}},
        {"Condition": {"ForAllValues:StringEquals": {STAGE: "AWSCURRENT"}}},
        {"Condition": {"Null": {STAGE: "true"}}},
        {"Condition": {"StringEquals": {STAGE: True}}},
        {"Resource": "arn:aws:secretsmanager:*:*:secret:${aws:username}"},
        {"Condition": {"StringEquals": {STAGE: "${aws:PrincipalTag/stage}"}}},
    ],
    ids=str,
)
def test_what_is_not_known_is_an_error_and_allows_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        role(ALLOW | wrong)


@pytest.mark.parametrize("missing", ["Effect", "Action", "Resource"])
def test_a_statement_without_an_element_is_an_error(missing: str) -> None:
    with pytest.raises(PolicyError):
        role({name: value for name, value in ALLOW.items() if name != missing})


@pytest.mark.parametrize(
    "document",
    [
        {"Statement": ALLOW},
        {"Version": "2008-10-17", "Statement": ALLOW},
        {"Version": "2012-10-17", "Id": "", "Statement": []},
    ],
)
def test_a_document_of_another_kind_is_an_error(document: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Role.of("reader", [document])
