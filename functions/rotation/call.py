"""One call of Secrets Manager to the rotation function."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotation.errors import InvalidEventError

_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


@dataclass(frozen=True)
class Call:
    """One call of Secrets Manager."""

    step: str
    secret_id: str
    token: str
    rotation_token: str = field(repr=False)

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Call":
        """The call in an event. Raises InvalidEventError naming the key or the unknown step.

        AWS's page spells the steps create_secret and so on, its functions receive createSecret: both are taken.
        """
        for key in ("Step", "SecretId", "ClientRequestToken"):
            if not isinstance(event.get(key), str) or not event[key]:
                raise InvalidEventError(f"the event has no {key}; this function is called by Secrets Manager")
        head, *tail = event["Step"].split("_")
        step = head + "".join(word.capitalize() for word in tail)
        if step not in _STEPS:
            raise InvalidEventError(f"unknown Step {event['Step']!r}; expected one of {', '.join(_STEPS)}")
        return cls(step, event["SecretId"], event["ClientRequestToken"], event.get("RotationToken") or "")
