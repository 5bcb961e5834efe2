"""What a resource's own policy - of a secret, a key, a VPC endpoint - says of a call by one of the stack's roles.

What is half understood is not decided: a statement with an element, an operator or a condition key that is not known
here is neither met nor not met. Sources:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from rotatorctl.permissions import Context, PolicyError, Statement
from rotatorctl.result import Json

DENIED, UNCLEAR, ALLOWED, SILENT = "denied", "unclear", "allowed", "silent"
_KNOWN_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


@dataclass(frozen=True)
class Call:
    """A call by a role. `keys` are condition keys that it is known to have, `lacks` those that it certainly has not.

    Both are in small letters.
    """

    function: str
    role: str
    action: str
    resource: str
    keys: Context
    lacks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """What a policy says, and the statement that says it by its Sid or its place."""

    said: str
    statement: str = ""


def verdict(policy: str, call: Call) -> Verdict:
    """`policy` is the JSON text of a resource's policy; an explicit deny overrides every allow."""
    found = json.loads(policy)["Statement"]
    statements = found if isinstance(found, list) else [found]
    judged = [
        (statement.get("Effect"), _applies(statement, call), statement.get("Sid") or f"number {number}")
        for number, statement in enumerate(statements, 1)
    ]
    for effect, applies, said in (
        ("Deny", True, DENIED),
        ("Deny", None, UNCLEAR),
        ("Allow", True, ALLOWED),
        ("Allow", None, UNCLEAR),
    ):
        if names := [name for *that, name in judged if that == [effect, applies]]:
            return Verdict(said, names[0])
    return Verdict(SILENT)


def _applies(statement: Json, call: Call) -> bool | None:
    """None if it cannot be told."""
    meant = _means(statement, call.role)
    if meant is False:
        return False
    bare: Json = {name: statement[name] for name in ("Effect", "Action", "Resource") if name in statement}
    known, rest = _split(statement.get("Condition", {}), call)
    try:
        if not Statement.of({**bare, "Condition": known}).applies(call.action, call.resource, call.keys):
            return False
    except PolicyError:
        return None
    return None if meant is None or rest or statement.keys() - _KNOWN_ELEMENTS else True


def _means(statement: Json, role: str) -> bool | None:
    """Whether the statement is about the role: by its ARN, its sessions, its account, or about everybody."""
    principal = statement.get("Principal")
    if principal is None:
        return None
    named = principal.get("AWS", []) if isinstance(principal, dict) else principal
    account = role.split(":")[4]
    session = f":sts::{account}:assumed-role/{role.rpartition('/')[2]}/"
    return any(
        each in ("*", role, account) or each.endswith(f":iam::{account}:root") or session in each
        for each in _texts(named)
    )


def _split(condition: Json, call: Call) -> tuple[Json, bool]:
    """The part of a condition whose keys are known, and whether there is another one."""
    known = {
        operator: {key: values for key, values in keys.items() if key.lower() in call.keys.keys() | call.lacks}
        for operator, keys in condition.items()
    }
    return {operator: keys for operator, keys in known.items() if keys}, known != condition


def _texts(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
