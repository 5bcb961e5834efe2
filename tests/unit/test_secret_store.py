"""Secrets Manager as the functions see it: boto3, HTTP and the model of its rules."""

import json
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest

from rotation import secret_store, throttling
from rotation.errors import (
    AccessDeniedError,
    InvalidEventError,
    InvalidSecretError,
    RotationError,
    StageConflictError,
    ThrottledError,
    UnavailableError,
)
from rotation.redaction import forget, redacted
from rotation.secret_store import SecretStore
from rotatorctl.local.secrets_manager import SecretsManagerError
from rotatorctl.local.servers import free_port
from tests.unit.rotations import GENERIC, Account, Clock, begun

OLD = json.dumps(GENERIC)
NEW = json.dumps({"engine": "generic", "password": "bN2~mP5yWc8"})


@pytest.fixture
def account() -> Iterator[Account]:
    with begun(GENERIC, tags={"rotation:engine": "generic"}) as account:
        yield account


def test_a_description_has_labels_tags_rotation_and_replicas(account: Account) -> None:
    account.model.set_replication(account.arn, "eu-west-1", "InSync")
    account.model.set_replication(account.arn, "us-east-1", "Failed", "no key")

    found = account.store.describe()

    assert found.stages == {account.current: ["AWSCURRENT"], account.token: ["AWSPENDING"]}
    assert (found.current, found.version("AWSPENDING"), found.version("AWSPREVIOUS")) == (
        account.current,
        account.token,
        None,
    )
    assert found.carries(account.token, "AWSPENDING")
    assert not found.carries(account.token, "AWSCURRENT")
    assert not found.carries("unknown", "AWSCURRENT")
    assert found.tags == {"rotation:engine": "generic"}
    assert found.rotation_enabled
    assert found.replicas == {"eu-west-1": "InSync", "us-east-1": "Failed"}


def test_a_description_of_a_secret_that_was_never_rotated(account: Account) -> None:
    plain = account.model.create_secret(Name="plain")["ARN"]

    found = SecretStore(plain).describe()

    assert (found.rotation_enabled, found.tags, found.replicas) == (False, {}, {})
    with pytest.raises(StageConflictError, match="no version of the secret is labelled AWSCURRENT"):
        _ = found.current


def test_a_secret_that_is_being_deleted_is_a_conflict(account: Account) -> None:
    account.model.delete_secret(SecretId=account.arn)

    with pytest.raises(StageConflictError, match="scheduled for deletion"):
        account.store.describe()
    with pytest.raises(StageConflictError, match="scheduled for deletion"):
        account.store.read(account.current, "AWSCURRENT")


def test_a_secret_that_does_not_exist_is_a_conflict_that_names_call_and_secret(account: Account) -> None:
    with pytest.raises(StageConflictError, match="secretsmanager:DescribeSecret on nothing: ResourceNotFoundException"):
        SecretStore("nothing").describe()


@pytest.mark.parametrize("stage", ["AWSCURRENT", None])
def test_a_version_is_read_by_its_id(account: Account, stage: str | None) -> None:
    assert account.store.read(account.current, stage) == OLD


def test_a_version_without_a_value_reads_as_none(account: Account) -> None:
    assert account.store.read(account.token, "AWSPENDING") is None
    assert account.store.read(account.token, None) is None
    assert account.store.read("0" * 32, None) is None


def test_a_version_without_the_label_reads_as_none(account: Account) -> None:
    assert account.store.read(account.current, "AWSPENDING") is None


def test_a_value_is_concealed_as_soon_as_it_was_read(account: Account) -> None:
    forget()
    account.store.read(account.current, "AWSCURRENT")

    assert redacted(f"it is {OLD}") == "it is [redacted]"


def test_a_binary_value_is_refused(account: Account) -> None:
    made = account.model.create_secret(Name="binary", SecretBinary=b"\x00\x01")

    with pytest.raises(
        InvalidSecretError, match=r"^the secret's value is binary; this rotator rotates text values only$"
    ):
        SecretStore(made["ARN"]).read(made["VersionId"], "AWSCURRENT")


def test_a_new_value_is_staged_as_pending_and_vouched_for(account: Account) -> None:
    account.store.stage_pending(account.token, NEW, account.rotation_token)

    assert account.stages() == {account.current: ["AWSCURRENT"], account.token: ["AWSPENDING"]}
    assert (account.value("AWSPENDING"), account.value("AWSCURRENT")) == (NEW, OLD)
    assert account.model._find(account.arn).versions[account.token].vouched_for


def test_a_token_never_gets_a_second_value(account: Account) -> None:
    account.store.stage_pending(account.token, NEW, account.rotation_token)
    account.store.stage_pending(account.token, OLD, account.rotation_token)

    assert account.value("AWSPENDING") == NEW


def test_a_call_without_a_rotation_token_stages_too(account: Account) -> None:
    account.store.stage_pending(account.token, NEW, "")

    assert account.value("AWSPENDING") == NEW


def test_a_wrong_rotation_token_is_refused_and_nothing_is_staged(account: Account) -> None:
    with pytest.raises(AccessDeniedError, match="secretsmanager:PutSecretValue"):
        account.store.stage_pending(account.token, NEW, "w" * 36)

    assert account.store.read(account.token, None) is None


def test_a_boto3_that_does_not_know_the_rotation_token_is_named(account: Account) -> None:
    shape = secret_store._client().meta.service_model.operation_model("PutSecretValue").input_shape
    assert shape
    del shape.members["RotationToken"]

    with pytest.raises(InvalidEventError, match="a boto3 that does not know RotationToken is too old"):
        account.store.stage_pending(account.token, NEW, account.rotation_token)


def test_promotion_moves_the_label_once_however_often_it_is_asked_for(account: Account) -> None:
    account.store.stage_pending(account.token, NEW, account.rotation_token)

    account.store.promote(account.token, account.current)
    account.store.promote(account.token, account.current)

    assert account.value("AWSCURRENT") == NEW
    assert account.value("AWSPREVIOUS") == OLD


def test_promotion_leaves_a_label_that_somebody_moved_in_between(account: Account) -> None:
    account.store.stage_pending(account.token, NEW, account.rotation_token)
    by_hand = account.model.put_secret_value(SecretId=account.arn, SecretString="by hand")["VersionId"]

    with pytest.raises(StageConflictError, match="secretsmanager:UpdateSecretVersionStage"):
        account.store.promote(account.token, account.current)

    assert account.stages()[by_hand] == ["AWSCURRENT"]


def test_a_refusal_while_awscurrent_is_read_where_it_was_may_be_one_of_an_old_read(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**request: Any) -> None:
        raise SecretsManagerError("InvalidParameterException", "it is elsewhere")

    monkeypatch.setattr(account.model, "update_secret_version_stage", refuse)
    with pytest.raises(UnavailableError) as error:
        account.store.promote(account.token, account.current)

    assert str(error.value) == (
        "refused, though AWSCURRENT is read where it was: secretsmanager:UpdateSecretVersionStage on "
        f"{account.arn}: InvalidParameterException: it is elsewhere"
    )


def throttled(account: Account, monkeypatch: pytest.MonkeyPatch, operation: str, times: int) -> list[float]:
    """The moments of this call, of which so many are refused; the pauses between them are the longest."""
    clock, made, call = Clock(), list[float](), getattr(account.model, operation)

    def called(**request: Any) -> Any:
        made.append(round(clock.now - 100, 2))
        if len(made) <= times:
            raise SecretsManagerError("ThrottlingException", "Rate exceeded")
        return call(**request)

    monkeypatch.setattr(account.model, operation, called)
    monkeypatch.setattr(throttling, "time", clock)
    monkeypatch.setattr(botocore.endpoint, "time", clock)
    monkeypatch.setattr(random, "uniform", max)
    return made


def test_a_throttled_promotion_is_made_again_at_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.stage(GENERIC)
    made = throttled(account, monkeypatch, "update_secret_version_stage", times=3)

    account.store.promote(account.token, account.current)

    assert made == [0, 0.05, 0.1, 0.15]
    assert "AWSCURRENT" in account.stages()[account.token]


@pytest.mark.parametrize("retry", [0, throttling.WAITING_OUTSIDE - 1])
def test_a_throttled_new_value_waits_in_the_state_machine_while_that_has_a_retry_for_it(
    account: Account, monkeypatch: pytest.MonkeyPatch, retry: int
) -> None:
    made = throttled(account, monkeypatch, "put_secret_value", times=1)

    with pytest.raises(ThrottledError, match="ThrottlingException"):
        account.store.stage_pending(account.token, NEW, account.rotation_token, retry)

    assert made == [0]


def test_a_throttled_new_value_with_no_such_retry_left_is_made_again_and_leaves_promotions_the_way(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = throttled(account, monkeypatch, "put_secret_value", times=1)

    account.store.stage_pending(account.token, NEW, account.rotation_token, throttling.WAITING_OUTSIDE)

    assert made == [0, 2]
    assert account.value("AWSPENDING") == NEW


def test_a_promotion_is_made_again_though_the_new_value_before_it_was_not(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttled(account, monkeypatch, "put_secret_value", times=1)
    with pytest.raises(ThrottledError):
        account.store.stage_pending(account.token, NEW, account.rotation_token)

    account.store.stage_pending(account.token, NEW, account.rotation_token)
    made = throttled(account, monkeypatch, "update_secret_version_stage", times=1)
    account.store.promote(account.token, account.current)

    assert made == [0, 0.05]


def test_botocore_is_never_answered_what_its_releases_take_differently() -> None:
    """Up to some of 2026, False was to make the call again at once, without end: https://github.com/boto/botocore/pull/3678"""
    response = (None, {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}})
    operation = SimpleNamespace(name="PutSecretValue")

    answers = [
        throttling._pause(response=response, operation=operation, request_dict={"context": {"give_up_at": at}})
        for at in (0.0, float("inf"))
    ]

    assert answers[0] is None
    assert isinstance(answers[1], float)


def test_what_stays_throttled_is_left_to_the_state_machine(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.stage(GENERIC)
    made = throttled(account, monkeypatch, "update_secret_version_stage", times=999)

    with pytest.raises(UnavailableError, match=r"UpdateSecretVersionStage on .*ThrottlingException"):
        account.store.promote(account.token, account.current)

    assert made[:3] == [0, 0.05, 0.1]
    assert 6.8 < made[-1] <= 7


def test_a_read_that_is_throttled_is_made_once_more_as_every_call(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = throttled(account, monkeypatch, "describe_secret", times=999)

    with pytest.raises(UnavailableError):
        account.store.describe()

    assert len(made) == 2


def test_a_write_that_is_refused_for_another_reason_is_not_made_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = throttled(account, monkeypatch, "update_secret_version_stage", times=0)

    with pytest.raises(StageConflictError):
        account.store.promote(account.token, "0" * 32)

    assert made == [0]


def test_pending_is_dropped_once_however_often_it_is_asked_for(account: Account) -> None:
    account.store.drop_pending(account.token)
    account.store.drop_pending(account.token)

    assert account.stages() == {account.current: ["AWSCURRENT"]}


def test_the_pending_label_of_another_version_is_left(account: Account) -> None:
    other = account.model.put_secret_value(SecretId=account.arn, SecretString=NEW, VersionStages=["AWSPENDING"])

    account.store.drop_pending(account.token)

    assert account.stages()[other["VersionId"]] == ["AWSPENDING"]


CODES = {
    "AccessDeniedException": AccessDeniedError,
    "DecryptionFailure": AccessDeniedError,
    "EncryptionFailure": AccessDeniedError,
    "UnrecognizedClientException": AccessDeniedError,
    "ResourceNotFoundException": StageConflictError,
    "InvalidRequestException": StageConflictError,
    "InvalidParameterException": StageConflictError,
    "LimitExceededException": StageConflictError,
    "ThrottlingException": UnavailableError,
    "InternalServiceError": UnavailableError,
    "SomethingNew": UnavailableError,
}


@pytest.mark.parametrize(("code", "kind"), CODES.items(), ids=CODES)
def test_each_refusal_of_aws_is_one_of_our_errors_and_names_the_action(
    account: Account, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[RotationError]
) -> None:
    def refuse(**request: Any) -> None:
        raise SecretsManagerError(code, "not now")

    monkeypatch.setattr(account.model, "describe_secret", refuse)
    with pytest.raises(RotationError) as error:
        account.store.describe()

    assert type(error.value) is kind
    assert str(error.value) == f"secretsmanager:DescribeSecret on {account.arn}: {code}: not now"


def test_no_answer_is_unavailable(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{free_port()}")
    secret_store._client.cache_clear()

    with pytest.raises(UnavailableError, match=r"^secretsmanager:GetSecretValue on .* no answer"):
        account.store.read(account.current, "AWSCURRENT")


def test_importing_and_making_a_store_calls_nothing(account: Account) -> None:
    secret_store._client.cache_clear()

    SecretStore(account.arn)

    assert secret_store._client.cache_info().currsize == 0
    account.store.describe()
