"""The only module that talks to Secrets Manager."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from rotation.aws import CONFIG, translated
from rotation.errors import InvalidSecretError, StageConflictError, UnavailableError
from rotation.model import AWSCURRENT, AWSPENDING
from rotation.redaction import conceal
from rotation.throttling import left_to_the_state_machine, make_again

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True)
class Description:
    """A secret without its value: labels, tags, rotation, replicas."""

    stages: Mapping[str, list[str]]
    tags: Mapping[str, str]
    rotation_enabled: bool
    replicas: Mapping[str, str]

    def version(self, stage: str) -> str | None:
        """The id of the version that carries this staging label."""
        return next((version for version, stages in self.stages.items() if stage in stages), None)

    def carries(self, token: str, stage: str) -> bool:
        return stage in self.stages.get(token, ())

    @property
    def current(self) -> str:
        if version := self.version(AWSCURRENT):
            return version
        raise StageConflictError("no version of the secret is labelled AWSCURRENT")


@dataclass(frozen=True)
class RotatedSecret:
    """A secret whose rotation is turned on, as ListSecrets shows it; dates are days of UTC."""

    name: str
    arn: str
    created: date
    last_rotated: date | None
    next_rotation: date | None
    after_days: int
    schedule_expression: str
    pending: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "RotatedSecret":
        """The secret of an entry of ListSecrets."""
        rules, versions = entry.get("RotationRules", {}), entry.get("SecretVersionsToStages", {})
        return cls(
            name=entry["Name"],
            arn=entry["ARN"],
            created=_day(entry["CreatedDate"]),
            last_rotated=_day(entry["LastRotatedDate"]) if "LastRotatedDate" in entry else None,
            next_rotation=_day(entry["NextRotationDate"]) if "NextRotationDate" in entry else None,
            after_days=rules.get("AutomaticallyAfterDays", 0),
            schedule_expression=rules.get("ScheduleExpression", ""),
            pending=next(
                (v for v, stages in versions.items() if AWSPENDING in stages and AWSCURRENT not in stages), ""
            ),
        )


def rotated_by(function_arn: str) -> list[RotatedSecret]:
    """The secrets that have this rotation function; raises UnavailableError or AccessDeniedError.

    ListSecrets cannot be asked for them. It leaves out secrets that are scheduled for deletion, and may show what was
    five minutes ago: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
    """
    with translated("secretsmanager:ListSecrets", "*"):
        pages = list(_client().get_paginator("list_secrets").paginate())
    entries = [entry for page in pages for entry in page["SecretList"]]
    mine = [each for each in entries if each.get("RotationEnabled") and each.get("RotationLambdaARN") == function_arn]
    return [RotatedSecret.of(each) for each in mine]


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


class SecretStore:
    """One secret. Every method may raise UnavailableError, AccessDeniedError and StageConflictError."""

    def __init__(self, secret_id: str) -> None:
        self._secret_id = secret_id

    def describe(self) -> Description:
        with self._calling("DescribeSecret"):
            answer = _client().describe_secret(SecretId=self._secret_id)
        if "DeletedDate" in answer:
            raise StageConflictError("the secret is scheduled for deletion")
        return Description(
            stages=answer.get("VersionIdsToStages", {}),
            tags={tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])},
            rotation_enabled=answer.get("RotationEnabled", False),
            replicas={replica["Region"]: replica["Status"] for replica in answer.get("ReplicationStatus", [])},
        )

    def read(self, version: str | None, stage: str | None) -> str | None:
        """The value of a version, or None if the version has none (yet), or does not carry `stage`.

        The stage is always sent where it is known: IAM policies confine the steps by it. Without a version it is that
        of whichever carries the label.
        """
        named = {"VersionId": version, "VersionStage": stage}
        with self._calling("GetSecretValue"):
            try:
                answer = _client().get_secret_value(
                    SecretId=self._secret_id, **{key: value for key, value in named.items() if value}
                )
            except _client().exceptions.ResourceNotFoundException:
                return None
            except _client().exceptions.InvalidRequestException:
                # A version that does not carry the stage (AWS documents no code for it), or a secret that is scheduled
                # for deletion, for which describing it raises.
                self.describe()
                return None
        if "SecretString" not in answer:
            raise InvalidSecretError("the secret's value is binary; this rotator rotates text values only")
        conceal(answer["SecretString"])
        return answer["SecretString"]

    def stage_pending(self, token: str, value: str, rotation_token: str, retry_count: int = 0) -> None:
        """Store `value` as version `token`, labelled AWSPENDING. Raises ThrottledError, too.

        A version that exists already keeps its value: another call of the same step was faster. The RotationToken
        vouches to Secrets Manager that this version was made for its rotation by another role than the rotation
        function's: https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html
        """
        conceal(value)
        proof = {"RotationToken": rotation_token} if rotation_token else {}
        client = _client()
        with (
            self._calling("PutSecretValue"),
            left_to_the_state_machine(retry_count),
            suppress(client.exceptions.ResourceExistsException),
        ):
            client.put_secret_value(
                SecretId=self._secret_id,
                ClientRequestToken=token,
                SecretString=value,
                VersionStages=[AWSPENDING],
                **proof,
            )

    def promote(self, token: str, from_version: str) -> None:
        """Move AWSCURRENT from exactly `from_version` to `token`; done already is not an error.

        RemoveFromVersionId makes it a compare-and-swap: Secrets Manager refuses if the label is elsewhere by now.
        """
        try:
            self._move(AWSCURRENT, RemoveFromVersionId=from_version, MoveToVersionId=token)
        except StageConflictError as refusal:
            description = self.describe()
            if description.version(AWSCURRENT) == from_version:
                # Perhaps an earlier call moved it, and the labels are read as they were before.
                raise UnavailableError(f"refused, though AWSCURRENT is read where it was: {refusal}") from None
            if not description.carries(token, AWSCURRENT):
                raise

    def drop_pending(self, token: str) -> None:
        """Take AWSPENDING off version `token`; not there any more is not an error."""
        try:
            self._move(AWSPENDING, RemoveFromVersionId=token)
        except StageConflictError:
            if self.describe().carries(token, AWSPENDING):
                raise

    def _move(self, stage: str, **versions: str) -> None:
        with self._calling("UpdateSecretVersionStage"):
            _client().update_secret_version_stage(SecretId=self._secret_id, VersionStage=stage, **versions)

    def _calling(self, action: str) -> AbstractContextManager[None]:
        return translated(f"secretsmanager:{action}", self._secret_id)


def get_ready() -> None:
    """Read the description of Secrets Manager's API, which takes longer than a call, and call nothing."""
    _client()


@cache
def _client() -> "SecretsManagerClient":
    client = boto3.client("secretsmanager", config=CONFIG)
    make_again(client, "PutSecretValue", "UpdateSecretVersionStage")
    return client
