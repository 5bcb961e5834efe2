"""The rules of Secrets Manager that rotation depends on, each with its source.

"botocore 1.43" is the service model of secretsmanager 2017-10-17 in botocore 1.43, at the operation or shape
named.
"Silence" marks what AWS does not document: there the model has both behaviours.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotatorctl.local.secrets_manager import (
    SILENCES,
    FunctionError,
    Rotation,
    SecretsManager,
    SecretsManagerError,
    Silences,
)

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:rotate"
STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]
A, B, C = "a" * 32, "b" * 32, "c" * 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Function:
    """A rotation function that does what AWS's template does; `instead` replaces a step."""

    events: list[dict[str, str]] = field(default_factory=list)
    instead: dict[str, Callable[[dict[str, str]], None]] = field(default_factory=dict)
    model: SecretsManager = field(default_factory=SecretsManager)

    def __call__(self, function_arn: str, event: dict[str, str]) -> None:
        self.events.append({"Function": function_arn} | event)
        own = {"createSecret": self.create, "finishSecret": self.finish}
        (self.instead | {k: v for k, v in own.items() if k not in self.instead}).get(event["Step"], ok)(event)

    def create(self, event: dict[str, str], **given: Any) -> None:
        self.model.put_secret_value(
            SecretId=event["SecretId"],
            ClientRequestToken=event["ClientRequestToken"],
            SecretString=f"value of {event['ClientRequestToken']}",
            VersionStages=["AWSPENDING"],
            **{"caller": FUNCTION} | given,
        )

    def finish(self, event: dict[str, str]) -> None:
        promote(self.model, event["ClientRequestToken"])

    @property
    def steps(self) -> list[str]:
        return [event["Step"] for event in self.events]


def ok(event: dict[str, str]) -> None:
    """A step that has nothing to do."""


def fail(event: dict[str, str]) -> None:
    raise FunctionError(f"{event['Step']} went wrong")


def promote(model: SecretsManager, token: str) -> None:
    model.update_secret_version_stage(
        SecretId="app", VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current(model)
    )


def current(model: SecretsManager) -> str:
    return str(model.get_secret_value(SecretId="app")["VersionId"])


def stages(model: SecretsManager) -> dict[str, list[str]]:
    found: dict[str, list[str]] = model.describe_secret(SecretId="app")["VersionIdsToStages"]
    return found


def value(model: SecretsManager, stage: str) -> str:
    return str(model.get_secret_value(SecretId="app", VersionStage=stage)["SecretString"])


def put(model: SecretsManager, token: str, **given: Any) -> dict[str, Any]:
    return model.put_secret_value(
        **{"SecretId": "app", "ClientRequestToken": token, "SecretString": f"value of {token}"} | given
    )


def rotate(model: SecretsManager, token: str = B, **given: Any) -> Rotation:
    own = {"SecretId": "app", "ClientRequestToken": token, "RotationLambdaARN": FUNCTION}
    model.rotate_secret(**own | given)
    return ended(model)


def retry(model: SecretsManager) -> Rotation:
    model.retry("app")
    return ended(model)


def ended(model: SecretsManager) -> Rotation:
    rotation = model.wait("app", timeout=10)
    assert rotation is not None
    return rotation


def event_names(model: SecretsManager) -> list[str]:
    return [event.name for event in model.events]


def make(function: Function, silences: Silences, **given: Any) -> SecretsManager:
    function.model = SecretsManager(function, silences, lambda: NOW, **given)
    function.model.create_secret(Name="app", SecretString="first", ClientRequestToken=A)
    return function.model


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def model(function: Function) -> SecretsManager:
    return make(function, Silences())


@pytest.fixture(params=SILENCES.values(), ids=list(SILENCES))
def any_model(function: Function, request: pytest.FixtureRequest) -> SecretsManager:
    return make(function, request.param)


def refused(code: str) -> Any:
    return pytest.raises(SecretsManagerError, match=f"^{code}: ")


# Versions and their values


def test_the_first_version_gets_awscurrent(model: SecretsManager) -> None:
    """botocore 1.43, CreateSecret: "automatically attaches the staging label AWSCURRENT to it"."""
    assert stages(model) == {A: ["AWSCURRENT"]}


def test_the_first_version_of_an_empty_secret_gets_awscurrent_beside_the_labels_asked_for(
    model: SecretsManager,
) -> None:
    """botocore 1.43, PutSecretValue: "If this operation creates the first version for the secret"."""
    model.create_secret(Name="empty")

    model.put_secret_value(SecretId="empty", SecretString="x", VersionStages=["MINE"])

    assert model.get_secret_value(SecretId="empty")["VersionStages"] == ["AWSCURRENT", "MINE"]


def test_the_same_token_with_the_same_value_succeeds_and_does_nothing(model: SecretsManager) -> None:
    """botocore 1.43, PutSecretValue: "the operation succeeds but does nothing"."""
    put(model, B, VersionStages=["AWSPENDING"])
    before = stages(model)

    answer = put(model, B, VersionStages=["AWSPENDING", "MINE"])

    assert answer["VersionStages"] == ["AWSPENDING"]
    assert stages(model) == before


def test_the_same_token_with_another_value_is_refused(model: SecretsManager) -> None:
    """botocore 1.43, PutSecretValue: "you can't modify an existing version"; ResourceExistsException."""
    put(model, B, VersionStages=["AWSPENDING"])

    with refused("ResourceExistsException") as refusal:
        put(model, B, SecretString="another", VersionStages=["AWSPENDING"])

    assert value(model, "AWSPENDING") == f"value of {B}"
    assert "another" not in str(refusal.value)


@pytest.mark.parametrize("length", [31, 65])
def test_a_token_has_32_to_64_characters(model: SecretsManager, length: int) -> None:
    """botocore 1.43, ClientRequestTokenType: min 32, max 64."""
    with refused("InvalidParameterException"):
        put(model, "t" * length)


@pytest.mark.parametrize(
    "given",
    [{"SecretString": None}, {"SecretBinary": b"x"}, {"SecretString": ""}, {"SecretString": "é" * 32_769}],
    ids=["no value", "both kinds", "empty", "too long"],
)
def test_a_version_has_one_value_of_1_to_65536_bytes(model: SecretsManager, given: dict[str, Any]) -> None:
    """botocore 1.43, PutSecretValueRequest, SecretStringType (max 65536), and
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html (in bytes)."""
    with refused("InvalidParameterException"):
        put(model, B, **given)


def test_a_put_without_stages_moves_awscurrent_and_awsprevious(model: SecretsManager) -> None:
    """botocore 1.43, PutSecretValue: AWSPREVIOUS goes "to the version that AWSCURRENT was removed from"."""
    put(model, B)
    put(model, C)

    assert stages(model) == {C: ["AWSCURRENT"], B: ["AWSPREVIOUS"]}


def test_a_put_takes_its_labels_off_other_versions(model: SecretsManager) -> None:
    """botocore 1.43, PutSecretValueRequest.VersionStages: "removes the label from the other version"."""
    put(model, B, VersionStages=["AWSPENDING", "MINE"])

    put(model, C, VersionStages=["MINE"])

    assert stages(model) == {A: ["AWSCURRENT"], B: ["AWSPENDING"], C: ["MINE"]}


def test_an_update_makes_a_new_current_version_and_accepts_no_known_token(model: SecretsManager) -> None:
    """botocore 1.43, UpdateSecret: moves AWSCURRENT; a token of an existing version "results in an error"."""
    model.update_secret(SecretId="app", SecretString="second", ClientRequestToken=B, Description="new")

    assert stages(model) == {B: ["AWSCURRENT"], A: ["AWSPREVIOUS"]}
    assert model.describe_secret(SecretId="app")["Description"] == "new"
    with refused("ResourceExistsException"):
        model.update_secret(SecretId="app", SecretString="second", ClientRequestToken=B)


def test_a_secret_is_created_twice_only_by_the_same_request(model: SecretsManager) -> None:
    """botocore 1.43, CreateSecretRequest.ClientRequestToken: the same value "is ignored", another fails."""
    assert model.create_secret(Name="app", SecretString="first", ClientRequestToken=A)["VersionId"] == A

    for other in ({"SecretString": "other", "ClientRequestToken": A}, {"SecretString": "first"}, {}):
        with refused("ResourceExistsException"):
            model.create_secret(Name="app", **other)


def test_a_read_without_selectors_answers_awscurrent(model: SecretsManager) -> None:
    """botocore 1.43, GetSecretValueRequest.VersionStage: "returns the AWSCURRENT version"."""
    put(model, B, VersionStages=["AWSPENDING"])

    answer = model.get_secret_value(SecretId="app")

    assert (answer["SecretString"], answer["VersionId"]) == ("first", A)


def test_version_id_and_stage_must_name_the_same_version(model: SecretsManager) -> None:
    """botocore 1.43, GetSecretValueRequest.VersionId: "the two parameters must refer to the same secret
    version". Silence: the code of the refusal is not documented."""
    with refused("InvalidRequestException"):
        model.get_secret_value(SecretId="app", VersionId=A, VersionStage="AWSPENDING")


@pytest.mark.parametrize("selector", [{"VersionId": C}, {"VersionStage": "AWSPREVIOUS"}])
def test_a_version_that_does_not_exist_is_not_found(model: SecretsManager, selector: dict[str, str]) -> None:
    """botocore 1.43, GetSecretValue: ResourceNotFoundException."""
    with refused("ResourceNotFoundException"):
        model.get_secret_value(SecretId="app", **selector)


def test_a_secret_answers_to_its_name_its_arn_and_its_arn_without_the_suffix(model: SecretsManager) -> None:
    """botocore 1.43, DescribeSecretRequest.SecretId: "For an ARN, we recommend that you specify a complete
    ARN"."""
    arn = model.describe_secret(SecretId="app")["ARN"]

    assert {model.describe_secret(SecretId=known)["ARN"] for known in ("app", arn, arn[:-7])} == {arn}
    with refused("ResourceNotFoundException"):
        model.describe_secret(SecretId="ap")


def test_no_repr_shows_a_value(model: SecretsManager, function: Function) -> None:
    """Ours: values stay out of logs, test reports and error messages."""
    rotation = rotate(model)

    shown = f"{model!r} {rotation!r} {rotation.secret!r} {model.events!r}"

    assert "value of" not in shown
    assert "first" not in shown
    assert function.events[0]["RotationToken"] not in shown


# Staging labels


def test_moving_awscurrent_moves_awsprevious(model: SecretsManager) -> None:
    """botocore 1.43, UpdateSecretVersionStage: "Whenever you move AWSCURRENT"."""
    put(model, B, VersionStages=["AWSPENDING"])

    promote(model, B)

    assert stages(model) == {A: ["AWSPREVIOUS"], B: ["AWSCURRENT", "AWSPENDING"]}


def test_moving_awscurrent_back_leaves_awsprevious_on_the_new_version(model: SecretsManager) -> None:
    """botocore 1.43, UpdateSecretVersionStage: the same rule, read for a rollback by hand."""
    put(model, B)

    promote(model, A)

    assert stages(model) == {A: ["AWSCURRENT"], B: ["AWSPREVIOUS"]}


@pytest.mark.parametrize("label", ["AWSCURRENT", "MINE"])
@pytest.mark.parametrize("source", [None, C], ids=["not given", "wrong"])
def test_a_label_moves_only_from_the_version_named(
    model: SecretsManager,
    label: str,
    source: str | None,
) -> None:
    """botocore 1.43, UpdateSecretVersionStageRequest.RemoveFromVersionId: "the operation fails"."""
    put(model, B, VersionStages=["AWSCURRENT", "MINE"])
    before = stages(model)

    with refused("InvalidParameterException"):
        model.update_secret_version_stage(
            SecretId="app",
            VersionStage=label,
            MoveToVersionId=A,
            **({"RemoveFromVersionId": source} if source else {}),
        )

    assert stages(model) == before


def test_a_label_that_is_already_there_needs_no_source(model: SecretsManager) -> None:
    """botocore 1.43, MoveToVersionId: RemoveFromVersionId is needed if it is on "a different version"."""
    model.update_secret_version_stage(SecretId="app", VersionStage="AWSCURRENT", MoveToVersionId=A)

    assert stages(model) == {A: ["AWSCURRENT"]}


def test_own_labels_stay_when_awscurrent_moves(model: SecretsManager) -> None:
    """botocore 1.43, UpdateSecretVersionStage: labels "are added to the existing list of staging labels"."""
    model.update_secret_version_stage(SecretId="app", VersionStage="MINE", MoveToVersionId=A)

    put(model, B)

    assert stages(model) == {A: ["AWSPREVIOUS", "MINE"], B: ["AWSCURRENT"]}


def test_a_secret_has_at_most_20_labels(model: SecretsManager) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html: 20 labels over
    all versions."""
    for n in range(19):
        model.update_secret_version_stage(SecretId="app", VersionStage=f"L{n}", MoveToVersionId=A)

    with refused("LimitExceededException"):
        put(model, B, VersionStages=["ONE-MORE"])

    assert len(stages(model)[A]) == 20
    put(model, B, VersionStages=["L0"])


def test_a_version_without_labels_is_deprecated_but_can_be_read(model: SecretsManager) -> None:
    """botocore 1.43, UpdateSecretVersionStage ("deprecated"),
    ListSecretVersionIdsRequest.IncludeDeprecated."""
    put(model, B, VersionStages=["AWSPENDING"])
    model.update_secret_version_stage(SecretId="app", VersionStage="AWSPENDING", RemoveFromVersionId=B)

    def listed(deprecated: bool) -> set[str]:
        answer = model.list_secret_version_ids(SecretId="app", IncludeDeprecated=deprecated)
        return {version["VersionId"] for version in answer["Versions"]}

    assert B not in stages(model)
    assert (listed(False), listed(True)) == ({A}, {A, B})
    assert model.get_secret_value(SecretId="app", VersionId=B)["VersionStages"] == []


def test_awscurrent_can_be_moved_but_not_removed(model: SecretsManager) -> None:
    """Seen in the field: the Terraform provider skips this removal, quoting AWS's
    InvalidParameterException "You can only move staging label AWSCURRENT to a different secret
    version"."""
    with refused("InvalidParameterException"):
        model.update_secret_version_stage(SecretId="app", VersionStage="AWSCURRENT", RemoveFromVersionId=A)


def test_a_label_change_names_at_least_one_version(model: SecretsManager) -> None:
    """botocore 1.43, UpdateSecretVersionStageRequest: a label moves to a version, from one, or both."""
    with refused("InvalidParameterException"):
        model.update_secret_version_stage(SecretId="app", VersionStage="MINE")


def test_a_label_moves_only_to_a_version_that_exists(model: SecretsManager) -> None:
    """botocore 1.43, UpdateSecretVersionStage: ResourceNotFoundException."""
    with refused("ResourceNotFoundException"):
        model.update_secret_version_stage(SecretId="app", VersionStage="MINE", MoveToVersionId=C)


# Secrets


def test_rotation_enabled_is_absent_until_rotation_is_configured(model: SecretsManager) -> None:
    """botocore 1.43, DescribeSecretResponse.RotationEnabled: "If the secret has never been configured"."""
    before = model.describe_secret(SecretId="app")

    rotate(model)

    assert "RotationEnabled" not in before
    assert "RotationLambdaARN" not in before
    assert model.describe_secret(SecretId="app")["RotationEnabled"] is True


def test_replicas_are_reported_with_their_status(model: SecretsManager) -> None:
    """botocore 1.43, ReplicationStatusType: InProgress, Failed or InSync, with a message."""
    assert "ReplicationStatus" not in model.describe_secret(SecretId="app")

    model.set_replication("app", "eu-west-1", "InProgress")
    model.set_replication("app", "eu-west-1", "Failed", "no key")

    assert model.describe_secret(SecretId="app")["ReplicationStatus"] == [
        {"Region": "eu-west-1", "Status": "Failed", "StatusMessage": "no key"}
    ]


def test_a_deleted_secret_shows_its_date_and_is_refused_until_it_is_restored(model: SecretsManager) -> None:
    """botocore 1.43, DeleteSecret: "you cannot retrieve the secret value"; InvalidRequestException: "The
    secret is scheduled for deletion"."""
    model.delete_secret(SecretId="app", RecoveryWindowInDays=7)

    assert model.describe_secret(SecretId="app")["DeletedDate"] == NOW + timedelta(days=7)
    assert model.list_secrets()["SecretList"] == []
    for refusal in (lambda: value(model, "AWSCURRENT"), lambda: put(model, B), lambda: rotate(model)):
        with refused("InvalidRequestException"):
            refusal()
    model.restore_secret(SecretId="app")
    assert value(model, "AWSCURRENT") == "first"
    assert "DeletedDate" not in model.describe_secret(SecretId="app")


@pytest.mark.parametrize(
    "given", [{"RecoveryWindowInDays": 6}, {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True}]
)
def test_the_recovery_window_is_7_to_30_days_and_not_together_with_force(
    model: SecretsManager,
    given: dict[str, Any],
) -> None:
    """botocore 1.43, DeleteSecretRequest.RecoveryWindowInDays."""
    with refused("InvalidParameterException"):
        model.delete_secret(SecretId="app", **given)


def test_a_secret_deleted_by_force_is_gone(model: SecretsManager) -> None:
    """botocore 1.43, DeleteSecretRequest.ForceDeleteWithoutRecovery: "without any recovery window"."""
    model.delete_secret(SecretId="app", ForceDeleteWithoutRecovery=True)

    with refused("ResourceNotFoundException"):
        model.describe_secret(SecretId="app")


def test_tags_are_added_replaced_and_removed(model: SecretsManager) -> None:
    """botocore 1.43, TagResource ("appends tags"), UntagResource ("no error is returned" for an unknown
    key)."""
    model.tag_resource(SecretId="app", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    model.tag_resource(SecretId="app", Tags=[{"Key": "a", "Value": "3"}])

    model.untag_resource(SecretId="app", TagKeys=["b", "unknown"])

    assert model.describe_secret(SecretId="app")["Tags"] == [{"Key": "a", "Value": "3"}]


def test_secrets_are_listed_by_name_and_tag(model: SecretsManager) -> None:
    """botocore 1.43, ListSecrets, SecretListEntry.SecretVersionsToStages."""
    model.create_secret(Name="other", Tags=[{"Key": "team", "Value": "x"}])

    def names(key: str, prefix: str) -> list[str]:
        found = model.list_secrets(Filters=[{"Key": key, "Values": [prefix]}])
        return [entry["Name"] for entry in found["SecretList"]]

    assert (names("name", "ap"), names("tag-key", "team")) == (["app"], ["other"])
    assert model.list_secrets()["SecretList"][0]["SecretVersionsToStages"] == {A: ["AWSCURRENT"]}


def test_secrets_are_listed_in_pages(model: SecretsManager) -> None:
    """botocore 1.43, ListSecretsRequest: MaxResults is at most 100; NextToken gets the next results."""
    for number in range(100):
        model.create_secret(Name=f"other {number}")

    first, second = model.list_secrets(), model.list_secrets(MaxResults=1, NextToken="100")

    assert (len(first["SecretList"]), first["NextToken"]) == (100, "100")
    assert [entry["Name"] for entry in second["SecretList"]] == ["other 99"]
    assert "NextToken" not in second


def test_reads_can_lag_behind_a_write(model: SecretsManager) -> None:
    """botocore 1.43, ListSecrets: "All Secrets Manager operations are eventually consistent"."""
    model.stale_reads(2)

    put(model, B)

    assert [current(model), list(stages(model)), current(model)] == [A, [A], B]


def test_one_callers_next_read_alone_can_be_an_old_one(model: SecretsManager) -> None:
    """The same rule, for one reader."""
    put(model, B)
    model.age_next_read("app", "SetSecret")

    read = [model.get_secret_value(SecretId="app", caller=each)["VersionId"] for each in ("other", *["SetSecret"] * 2)]

    assert read == [B, A, B]


# A rotation


def test_rotation_sends_four_steps_with_the_arn_and_two_tokens(
    any_model: SecretsManager,
    function: Function,
) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html (the event;
    SecretId is the ARN) and botocore 1.43, RotationTokenType (36 to 256 characters)."""
    arn = any_model.describe_secret(SecretId="app")["ARN"]

    rotation = rotate(any_model)

    sent = len(rotation.steps)
    rotation_token = function.events[0]["RotationToken"]
    assert 36 <= len(rotation_token) <= 256
    assert function.events == [
        {
            "Function": FUNCTION,
            "Step": step,
            "SecretId": arn,
            "ClientRequestToken": B,
            "RotationToken": rotation_token,
        }
        for step in STEPS[:sent]
    ]
    assert rotation.steps == [(step, None) for step in STEPS]
    assert rotation.outcome == "RotationSucceeded"


def test_after_a_rotation_the_labels_are_in_a_legal_end_state(any_model: SecretsManager) -> None:
    """botocore 1.43, RotateSecret: AWSPENDING is on "the same version as the AWSCURRENT version", or on
    none."""
    rotate(any_model)

    assert value(any_model, "AWSCURRENT") == f"value of {B}"
    assert value(any_model, "AWSPREVIOUS") == "first"
    assert stages(any_model)[B] in (["AWSCURRENT"], ["AWSCURRENT", "AWSPENDING"])


def test_a_second_rotation_is_accepted_after_the_first(any_model: SecretsManager) -> None:
    """botocore 1.43, RotateSecret: both end states allow a later rotation."""
    rotate(any_model)

    assert rotate(any_model, C).outcome == "RotationSucceeded"
    assert value(any_model, "AWSCURRENT") == f"value of {C}"
    assert value(any_model, "AWSPREVIOUS") == f"value of {B}"


def test_rotate_secret_does_not_wait_for_the_function(model: SecretsManager, function: Function) -> None:
    """botocore 1.43, RotateSecret: "starts the asynchronous process"."""
    go_on = threading.Event()
    function.instead["setSecret"] = lambda event: None if go_on.wait(10) else fail(event)

    answer = model.rotate_secret(SecretId="app", ClientRequestToken=B, RotationLambdaARN=FUNCTION)

    assert answer["VersionId"] == B
    assert model.rotations("app")[0].outcome is None
    go_on.set()
    assert ended(model).outcome == "RotationSucceeded"


def test_the_pending_version_exists_before_it_has_a_value(model: SecretsManager, function: Function) -> None:
    """botocore 1.43, DescribeSecretResponse.VersionIdsToStages: "Secrets Manager creates an AWSPENDING
    version ID before creating the new secret version. To check if a secret version exists, call
    GetSecretValue"."""
    seen: list[Any] = []

    def look(event: dict[str, str]) -> None:
        seen.append(stages(model)[B])
        seen.append([v["VersionId"] for v in model.list_secret_version_ids(SecretId="app")["Versions"]])
        for selector in ({"VersionId": B}, {"VersionStage": "AWSPENDING"}):
            with refused("ResourceNotFoundException"):
                model.get_secret_value(SecretId="app", **selector)
        function.create(event)

    function.instead["createSecret"] = look

    rotate(model)

    assert seen == [["AWSPENDING"], [A]]


def test_an_empty_version_cannot_become_current(model: SecretsManager, function: Function) -> None:
    """Silence: AWS does not say so, but what GetSecretValue cannot find does not exist yet."""
    function.instead["createSecret"] = fail
    rotate(model)

    with refused("ResourceNotFoundException"):
        promote(model, B)


def test_a_successful_rotation_sets_the_dates(model: SecretsManager) -> None:
    """botocore 1.43, DescribeSecretResponse: LastRotatedDate, NextRotationDate; RotationRulesType."""
    rules = {"AutomaticallyAfterDays": 30}

    rotate(model, RotationRules=rules)

    described = model.describe_secret(SecretId="app")
    assert described["RotationRules"] == rules
    assert described["LastRotatedDate"] == NOW
    assert described["NextRotationDate"] == NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("expression", "days"), [("rate(12 hours)", 0.5), ("rate(10 days)", 10), ("cron(0 8 1 * ? *)", None)]
)
def test_a_rate_gives_the_next_date_and_a_cron_expression_is_kept(
    model: SecretsManager,
    expression: str,
    days: float | None,
) -> None:
    """botocore 1.43, RotationRulesType.ScheduleExpression. The model does not work out cron dates."""
    rotate(model, RotationRules={"ScheduleExpression": expression})

    described = model.describe_secret(SecretId="app")
    assert described["RotationRules"] == {"ScheduleExpression": expression}
    assert described.get("NextRotationDate") == (NOW + timedelta(days=days) if days else None)


def test_a_value_written_by_hand_counts_as_a_rotation(model: SecretsManager) -> None:
    """botocore 1.43, RotationRulesType.AutomaticallyAfterDays: it "is considered a valid rotation"."""
    rotate(model, RotationRules={"AutomaticallyAfterDays": 30})
    model.clock = lambda: NOW + timedelta(days=5)

    put(model, C)

    described = model.describe_secret(SecretId="app")
    assert described["NextRotationDate"] == NOW + timedelta(days=35)
    assert described["LastRotatedDate"] == NOW


def test_a_rotation_without_rules_keeps_those_stored(model: SecretsManager) -> None:
    """botocore 1.43, RotateSecret: it starts "with the values already stored in the secret"."""
    rotate(model, RotationRules={"AutomaticallyAfterDays": 30})

    model.rotate_secret(SecretId="app", ClientRequestToken=C)

    assert ended(model).function_arn == FUNCTION
    assert model.describe_secret(SecretId="app")["RotationRules"] == {"AutomaticallyAfterDays": 30}


def test_rules_have_days_or_an_expression_but_not_both(model: SecretsManager) -> None:
    """botocore 1.43, RotationRulesType.AutomaticallyAfterDays: "but not both"."""
    with refused("InvalidParameterException"):
        rotate(model, RotationRules={"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(1 day)"})


def test_rotation_needs_a_function(model: SecretsManager) -> None:
    """botocore 1.43, InvalidRequestException: "a secret that doesn't already have a Lambda function ARN"."""
    with refused("InvalidRequestException"):
        model.rotate_secret(SecretId="app")

    assert "RotationEnabled" not in model.describe_secret(SecretId="app")


# A failed rotation


@pytest.mark.parametrize("step", STEPS)
def test_rotation_stops_at_the_first_error(model: SecretsManager, function: Function, step: str) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html ("If any
    rotation step fails");
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
    (RotationFailed)."""
    function.instead[step] = fail

    rotation = rotate(model, RotationRules={"AutomaticallyAfterDays": 1})

    sent = STEPS[: STEPS.index(step) + 1]
    assert rotation.steps == [(s, f"{step} went wrong" if s == step else None) for s in sent]
    assert rotation.error == f"Error when executing lambda {FUNCTION} during {step} step"
    assert event_names(model) == ["RotationStarted", "RotationFailed"]
    assert model.events[-1].error == rotation.error
    assert stages(model) == {A: ["AWSCURRENT"], B: ["AWSPENDING"]}
    assert "LastRotatedDate" not in model.describe_secret(SecretId="app")


def test_a_retry_sends_the_whole_sequence_again(any_model: SecretsManager, function: Function) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html: "Secrets
    Manager retries the entire rotation process multiple times". Silence: how often and when, and with
    which tokens."""
    function.instead["setSecret"] = fail
    first = rotate(any_model)
    function.instead.clear()

    second = retry(any_model)

    assert [step for step, _ in first.steps] == STEPS[:2]
    assert [step for step, _ in second.steps] == STEPS[: len(second.steps)]
    assert second.outcome == "RotationSucceeded"
    assert value(any_model, "AWSCURRENT") == f"value of {second.token}"
    assert event_names(any_model) == [
        "RotationStarted",
        "RotationFailed",
        "RotationStarted",
        "RotationSucceeded",
    ]


@pytest.mark.parametrize("same", [True, False])
def test_a_retry_keeps_its_token_or_gets_a_new_one(function: Function, same: bool) -> None:
    """Silence. A new token takes AWSPENDING from the old one."""
    model = make(function, Silences(same_token_on_retry=same))
    function.instead["setSecret"] = fail
    rotate(model)

    second = retry(model)

    assert (second.token == B) is same
    assert stages(model) == {A: ["AWSCURRENT"], second.token: ["AWSPENDING"]}


@pytest.mark.parametrize("same", [True, False])
def test_a_retry_keeps_its_rotation_token_or_refuses_the_old_one(function: Function, same: bool) -> None:
    """Silence. A workflow that outlives the first attempt still holds the first RotationToken."""
    model = make(function, Silences(same_rotation_token_on_retry=same))
    function.instead["createSecret"] = fail
    rotate(model)

    retry(model)

    first, second = (event["RotationToken"] for event in function.events)
    assert (first == second) is same
    if not same:
        with refused("AccessDeniedException"):
            function.create(function.events[0], caller="another", RotationToken=first)


@pytest.mark.parametrize("restores", [True, False])
def test_a_retry_restores_a_removed_pending_label_or_goes_on_without(
    function: Function,
    restores: bool,
) -> None:
    """Silence."""
    model = make(function, Silences(retry_restores_pending=restores))
    function.instead["setSecret"] = fail
    rotate(model)
    model.update_secret_version_stage(SecretId="app", VersionStage="AWSPENDING", RemoveFromVersionId=B)
    function.instead["createSecret"] = ok

    assert retry(model).token == B
    assert stages(model).get(B) == (["AWSPENDING"] if restores else None)
    assert model.get_secret_value(SecretId="app", VersionId=B)["SecretString"] == f"value of {B}"


def test_a_retry_can_come_by_itself(function: Function) -> None:
    """Silence: its spacing. Here it is a parameter."""
    succeeded = threading.Event()
    function.instead["setSecret"] = lambda event: succeeded.set() if len(function.events) > 2 else fail(event)
    model = make(function, Silences(), retry_after=0.01)

    rotate(model)

    assert succeeded.wait(10)
    assert ended(model).outcome == "RotationSucceeded"
    assert len(model.rotations("app")) == 2


def test_only_a_failed_rotation_can_be_retried(model: SecretsManager) -> None:
    """Ours: `retry` stands for Secrets Manager's own decision, which only a failure brings about."""
    rotate(model)

    with pytest.raises(LookupError, match="no failed rotation"):
        model.retry("app")


def test_a_create_secret_that_writes_nothing_is_followed_by_set_secret(
    model: SecretsManager,
    function: Function,
) -> None:
    """Silence: Secrets Manager is known to look at who wrote the version, not at whether anybody did."""
    function.instead |= {"createSecret": ok, "setSecret": fail}

    assert [step for step, _ in rotate(model).steps] == STEPS[:2]


def test_rotation_fails_if_finish_secret_did_not_move_awscurrent(
    model: SecretsManager,
    function: Function,
) -> None:
    """botocore 1.43, RotateSecret: AWSPENDING elsewhere than AWSCURRENT is no success."""
    function.instead["finishSecret"] = ok

    rotation = rotate(model)

    assert (rotation.outcome, len(rotation.steps)) == ("RotationFailed", 4)


def test_an_error_of_the_test_itself_comes_out_of_wait(model: SecretsManager, function: Function) -> None:
    """Ours: only FunctionError is a failed call; anything else is a mistake that must not pass unseen."""
    function.instead["setSecret"] = lambda event: stages(model)["unknown"].clear()

    with pytest.raises(KeyError, match="unknown"):
        rotate(model)


# A rotation that stands in the way


def test_rotate_secret_refuses_while_awspending_is_elsewhere_and_reattempts_that_rotation(
    any_model: SecretsManager,
    function: Function,
) -> None:
    """botocore 1.43, RotateSecret: "any later invocation of RotateSecret assumes that a previous rotation
    request is still in progress and returns an error". AWS's message says that it "will be
    reattempted"."""
    function.instead["setSecret"] = fail
    rotate(any_model)
    function.instead.clear()

    with refused("InvalidRequestException") as refusal:
        rotate(any_model, C)

    assert refusal.value.message.endswith("That rotation will be reattempted.")

    assert ended(any_model).outcome == "RotationSucceeded"
    assert value(any_model, "AWSCURRENT") == f"value of {ended(any_model).token}"
    assert C not in stages(any_model)


def test_a_running_rotation_is_not_started_twice(model: SecretsManager, function: Function) -> None:
    """botocore 1.43, RotateSecret: "still in progress"."""

    def again(event: dict[str, str]) -> None:
        with refused("InvalidRequestException"):
            model.rotate_secret(SecretId="app", ClientRequestToken=C)

    function.instead["setSecret"] = again

    assert rotate(model).outcome == "RotationSucceeded"
    assert len(model.rotations("app")) == 1


def test_clearing_awspending_lets_a_new_rotation_start(model: SecretsManager, function: Function) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html: "clear the
    AWSPENDING staging label and retry rotation"."""
    function.instead["setSecret"] = fail
    rotate(model)
    function.instead.clear()

    model.update_secret_version_stage(SecretId="app", VersionStage="AWSPENDING", RemoveFromVersionId=B)

    assert rotate(model, C).outcome == "RotationSucceeded"


# Who wrote the pending version


@pytest.mark.parametrize("caller", [FUNCTION, "rotate"])
def test_the_rotation_function_may_write_the_pending_version_itself(
    model: SecretsManager,
    function: Function,
    caller: str,
) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html:
    "only allows a Lambda rotation function to rotate the secret directly"."""
    function.instead["createSecret"] = lambda event: function.create(event, caller=caller)

    assert rotate(model).outcome == "RotationSucceeded"


@pytest.mark.parametrize("caller", ["another", None])
def test_a_pending_version_by_anybody_else_fails_the_rotation(
    model: SecretsManager,
    function: Function,
    caller: str | None,
) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html: "Pending
    secret version VERSION_ID for Secret SECRET_ARN was not created by Lambda LAMBDA_ARN"."""
    arn = model.describe_secret(SecretId="app")["ARN"]
    function.instead["createSecret"] = lambda event: function.create(event, caller=caller)

    rotation = rotate(model)

    assert function.steps == ["createSecret"]
    assert rotation.outcome == "RotationFailed"
    assert rotation.error == (
        f"Pending secret version {B} for Secret {arn} was not created by Lambda {FUNCTION}. "
        "Remove the AWSPENDING staging label and restart rotation"
    )


def test_the_rotation_token_vouches_for_another_writer(any_model: SecretsManager, function: Function) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html: pass the
    RotationToken to PutSecretValue. botocore 1.43, PutSecretValueRequest.RotationToken: "indicates the
    source of the request". Silence: whether this holds for another function of the same account."""
    function.instead["createSecret"] = lambda event: function.create(
        event, caller="another", RotationToken=event["RotationToken"]
    )

    assert rotate(any_model).outcome == "RotationSucceeded"


def test_a_wrong_rotation_token_is_refused(model: SecretsManager, function: Function) -> None:
    """botocore 1.43, PutSecretValueRequest.RotationToken: "Secrets Manager validates the identity using
    the token". Silence: the code of the refusal."""
    codes: list[str] = []

    def forge(event: dict[str, str]) -> None:
        for forged in ("0" * 36, "too-short"):
            with pytest.raises(SecretsManagerError) as refusal:
                function.create(event, caller=FUNCTION, RotationToken=forged)
            codes.append(refusal.value.code)
        fail(event)

    function.instead["createSecret"] = forge

    rotate(model)

    assert codes == ["AccessDeniedException", "InvalidParameterException"]
    with refused("ResourceNotFoundException"):
        value(model, "AWSPENDING")


def test_a_rotation_token_is_worth_nothing_after_its_rotation(
    model: SecretsManager,
    function: Function,
) -> None:
    """Silence; the strictest reading."""
    rotate(model)

    with refused("AccessDeniedException"):
        put(model, C, RotationToken=function.events[0]["RotationToken"])


def test_a_pending_version_made_by_hand_is_attempted_and_refused(model: SecretsManager) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html: the same
    message as above, when RotateSecret meets an AWSPENDING version that no rotation made."""
    rotate(model)
    put(model, C, VersionStages=["AWSPENDING"])

    with refused("InvalidRequestException"):
        rotate(model, "d" * 32)

    assert str(ended(model).error).startswith(f"Pending secret version {C} ")


# A rotation that is overtaken


@pytest.mark.parametrize("how", ["put_secret_value", "update_secret"])
def test_a_new_version_by_hand_abandons_the_rotation(
    any_model: SecretsManager,
    function: Function,
    how: str,
) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html,
    RotationAbandoned: a new version made by hand abandons the rotation, and AWSPENDING is removed."""
    function.instead["setSecret"] = lambda event: void(
        getattr(any_model, how)(SecretId="app", SecretString="by hand", ClientRequestToken=C)
    )

    rotation = rotate(any_model)

    assert rotation.steps == [("createSecret", None), ("setSecret", None)]
    assert event_names(any_model) == ["RotationStarted", "RotationAbandoned"]
    assert stages(any_model) == {A: ["AWSPREVIOUS"], C: ["AWSCURRENT"]}
    with pytest.raises(LookupError):
        any_model.retry("app")


def test_an_abandoned_rotation_does_not_fail_as_well(model: SecretsManager, function: Function) -> None:
    """Silence: the function that was running at that moment may still answer with an error."""

    def overtaken(event: dict[str, str]) -> None:
        put(model, C)
        fail(event)

    function.instead["setSecret"] = overtaken

    rotation = rotate(model)

    assert rotation.outcome == "RotationAbandoned"
    assert rotation.steps[-1] == ("setSecret", "setSecret went wrong")
    assert event_names(model) == ["RotationStarted", "RotationAbandoned"]


def test_a_failed_rotation_is_abandoned_too(model: SecretsManager, function: Function) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html,
    RotationAbandoned: "to allow future rotations to succeed"."""
    function.instead["setSecret"] = fail
    rotate(model)
    function.instead.clear()

    put(model, C)

    assert event_names(model)[-1] == "RotationAbandoned"
    assert rotate(model, "d" * 32).outcome == "RotationSucceeded"


def test_cancelling_turns_rotation_off_and_leaves_awspending(
    any_model: SecretsManager,
    function: Function,
) -> None:
    """botocore 1.43, CancelRotateSecret: "it can leave the VersionStage labels in an unexpected state"."""
    answers: list[dict[str, Any]] = []
    cancel = any_model.cancel_rotate_secret
    function.instead["setSecret"] = lambda event: answers.append(cancel(SecretId="app"))

    rotation = rotate(any_model, RotationRules={"AutomaticallyAfterDays": 1})

    described = any_model.describe_secret(SecretId="app")
    assert (rotation.outcome, function.steps) == ("Cancelled", STEPS[:2])
    assert answers[0]["VersionId"] == B
    assert described["RotationEnabled"] is False
    assert described["RotationRules"] == {"AutomaticallyAfterDays": 1}
    assert "NextRotationDate" not in described
    assert stages(any_model)[B] == ["AWSPENDING"]
    with refused("InvalidRequestException"):
        rotate(any_model, C)
    assert len(any_model.rotations("app")) == 1


def test_a_cancelled_secret_has_no_dates_and_no_retry(model: SecretsManager, function: Function) -> None:
    """botocore 1.43, DescribeSecretResponse.LastRotatedDate: null if "rotation has been disabled"."""
    rotate(model, RotationRules={"AutomaticallyAfterDays": 1})
    function.instead["setSecret"] = fail
    rotate(model, C)

    model.cancel_rotate_secret(SecretId="app")
    put(model, "d" * 32)

    described = model.describe_secret(SecretId="app")
    assert not {"LastRotatedDate", "NextRotationDate"} & described.keys()
    with pytest.raises(LookupError):
        model.retry("app")


def test_a_function_that_is_replaced_midway_gets_the_remaining_steps(
    model: SecretsManager,
    function: Function,
) -> None:
    """Silence; an attempt goes on with what it was started with. AWSCURRENT has moved, so RotateSecret is
    accepted."""
    other = FUNCTION.replace("rotate", "other")

    def replace(event: dict[str, str]) -> None:
        if event["ClientRequestToken"] == B:
            function.finish(event)
            model.rotate_secret(SecretId="app", ClientRequestToken=C, RotationLambdaARN=other)

    function.instead |= {"setSecret": replace, "finishSecret": ok}
    rotate(model)

    used = {event["ClientRequestToken"]: set[str]() for event in function.events}
    for event in function.events:
        used[event["ClientRequestToken"]].add(event["Function"])
    assert used == {B: {FUNCTION}, C: {other}}


# Testing the configuration


@pytest.mark.parametrize("has_value", [True, False])
def test_rotate_immediately_false_runs_test_secret_alone(function: Function, has_value: bool) -> None:
    """botocore 1.43, RotateSecretRequest.RotateImmediately: "running the testSecret step"; it "creates an
    AWSPENDING version of the secret and then removes it". Silence: whether that version has a value."""
    model = make(function, Silences(test_version_has_value=has_value))
    seen: list[Any] = []

    def look(event: dict[str, str]) -> None:
        seen.append(stages(model))
        if has_value:
            seen.append(value(model, "AWSPENDING"))
        else:
            with refused("ResourceNotFoundException"):
                value(model, "AWSPENDING")

    function.instead["testSecret"] = look

    rotation = rotate(model, RotateImmediately=False)

    assert seen == [{A: ["AWSCURRENT"], B: ["AWSPENDING"]}, *(["first"] if has_value else [])]
    assert rotation.steps == [("testSecret", None)]
    assert stages(model) == {A: ["AWSCURRENT"]}
    with refused("ResourceNotFoundException"):
        model.get_secret_value(SecretId="app", VersionId=B)
    assert event_names(model) == ["TestRotationStarted", "TestRotationSucceeded"]
    assert model.describe_secret(SecretId="app")["RotationEnabled"] is True


def test_a_new_version_by_hand_does_not_abandon_a_test(model: SecretsManager, function: Function) -> None:
    """Silence: RotationAbandoned is described for a rotation, and there is no event TestRotationAbandoned."""
    function.instead["testSecret"] = lambda event: void(put(model, C))

    assert rotate(model, RotateImmediately=False).outcome == "TestRotationSucceeded"
    assert stages(model) == {A: ["AWSPREVIOUS"], C: ["AWSCURRENT"]}


def test_a_failed_test_leaves_nothing_behind_and_is_not_retried(
    any_model: SecretsManager,
    function: Function,
) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
    (TestRotationFailed); botocore 1.43, RotateSecretRequest.RotateImmediately."""
    function.instead["testSecret"] = fail

    rotation = rotate(any_model, RotateImmediately=False)

    assert rotation.outcome == "TestRotationFailed"
    assert stages(any_model) == {A: ["AWSCURRENT"]}
    with pytest.raises(LookupError):
        any_model.retry("app")
    function.instead.clear()
    assert rotate(any_model, C).outcome == "RotationSucceeded"


# Where AWS is silent


@pytest.mark.parametrize("cleans", [True, False])
def test_after_success_awspending_is_cleaned_up_or_stays(function: Function, cleans: bool) -> None:
    """Silence within botocore 1.43, RotateSecret, which allows both."""
    model = make(function, Silences(cleans_up_pending=cleans))

    rotate(model)

    assert stages(model)[B] == (["AWSCURRENT"] if cleans else ["AWSCURRENT", "AWSPENDING"])


@pytest.mark.parametrize("sends", [True, False])
def test_after_an_early_promotion_the_remaining_steps_are_sent_or_not(
    function: Function,
    sends: bool,
) -> None:
    """Silence."""
    model = make(function, Silences(later_steps_after_promotion=sends))

    def create_and_promote(event: dict[str, str]) -> None:
        function.create(event)
        function.finish(event)

    function.instead |= {"createSecret": create_and_promote, "finishSecret": ok}

    assert rotate(model).outcome == "RotationSucceeded"
    assert function.steps == (STEPS if sends else STEPS[:1])


@pytest.mark.parametrize("removes", [True, False])
def test_a_promotion_removes_awspending_or_leaves_it(function: Function, removes: bool) -> None:
    """Silence:
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
    says that it goes "in the same API call"; botocore 1.43, UpdateSecretVersionStage, does not mention
    it."""
    model = make(function, Silences(promotion_removes_pending=removes))
    put(model, B, VersionStages=["AWSPENDING"])
    model.update_secret_version_stage(SecretId="app", VersionStage="MINE", MoveToVersionId=B)
    assert stages(model)[B] == ["AWSPENDING", "MINE"]

    promote(model, B)

    assert ("AWSPENDING" in stages(model)[B]) is not removes


def test_the_named_combinations_show_each_silence_both_ways() -> None:
    for silence in fields(Silences):
        assert {getattr(combination, silence.name) for combination in SILENCES.values()} == {True, False}


def void(_: object) -> None:
    """A step's answer is of no interest."""


def test_a_resource_policy_is_given_back_and_left_out_where_there_is_none(model: SecretsManager) -> None:
    """botocore 1.43, GetResourcePolicy: "A JSON-formatted string that contains the permissions policy"."""
    assert "ResourcePolicy" not in model.get_resource_policy(SecretId="app")
    model.put_resource_policy(SecretId="app", ResourcePolicy="{}")
    assert model.get_resource_policy(SecretId="app")["ResourcePolicy"] == "{}"
