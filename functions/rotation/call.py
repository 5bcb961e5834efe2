"""One call of Secrets Manager to the rotation function."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotation.errors import InvalidEventError

# AWS's page on the function spells the steps create_secret and so on, its functions receive createSecret:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
_SPELLINGS = dict(zip(("create_secret", "set_secret", "test_secret", "finish_secret"), _STEPS, strict=True))


@dataclass(frozen=True)
class Call:
    """One call of Secrets Manager."""

    step: str
    secret_id: str
    token: str
    rotation_token: str = field(repr=False)

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Call":
        """The call in an event, its step in either of AWS's spellings. Raises InvalidEventError naming the key."""
        for key in ("Step", "SecretId", "ClientRequestToken"):
            if not isinstance(event.get(key), str) or not event[key]:
                raise InvalidEventError(f"the event has no {key}; this function is called by Secrets Manager")
            if not event[key].isascii():
                raise InvalidEventError(
                    f"the event's {key} is not plain ASCII; this function is called by Secrets Manager"
                )
        token = event.get("RotationToken") or ""
        if not isinstance(token, str):
            raise InvalidEventError("the event's RotationToken is no text; this function is called by Secrets Manager")
        step = _SPELLINGS.get(event["Step"], event["Step"])
        if step not in _STEPS:
            raise InvalidEventError(f"unknown Step {event['Step']!r}; expected one of {', '.join(_STEPS)}")
        return cls(step, event["SecretId"], event["ClientRequestToken"], token)
