"""`offboard`: take a secret out of rotation, or give it back to the function that rotated it before."""

from dataclasses import dataclass

from rotatorctl.attachment import FORMER_FUNCTION, turn_on_again
from rotatorctl.deployed import Described, Stack
from rotatorctl.result import CommandError, Result
from rotatorctl.schedule import rules_of, words

UNCHANGED, DETACHED, RESTORED = "unchanged", "detached", "restored"


@dataclass(frozen=True)
class Leaving:
    """A secret that this stack rotates; `former` is the function that it goes back to, if it is to."""

    stack: Stack
    secret: Described
    former: str

    @property
    def changes_something(self) -> bool:
        return bool(self.former) or self.secret.rotation_enabled

    @property
    def plan(self) -> str:
        name, rules = self.secret.name, words(rules_of(self.secret.answer))
        if self.former:
            return (
                f"{name}: {self.former} rotates it again, {rules}, and this stack no more. Nothing is rotated now; "
                "Secrets Manager lets that function test the log-in."
            )
        return (
            f"{name}: its rotation is turned off. Nobody rotates it from then on, and nothing tells that it gets old. "
            "Its value stays and logs in."
        )


def leaving(stack: Stack, secret_id: str, restore: bool) -> Leaving:
    """Raises CommandError for a secret of somebody else, while a rotation is not at its end, or without a function to
    go back to.
    """
    secret = Described.read(stack.aws, secret_id)
    if secret.deleted or secret.function_arn != stack.function_arn:
        raise CommandError(
            "NotUnderRotationError",
            f"the stack {stack.name!r} does not rotate it, so there is nothing to take it out of",
            f"`rotatorctl doctor {secret.name}` says what rotates it",
        )
    if secret.pending:
        raise CommandError(
            "PendingVersionError",
            f"a rotation of it runs or has failed: AWSPENDING is on version {secret.pending}, whose value may be live",
            f"`rotatorctl rotate {secret.name}` joins or retries it, `rotatorctl unstick {secret.name}` gives it up",
        )
    return Leaving(stack, secret, _former(stack, secret) if restore else "")


def offboard(found: Leaving) -> Result:
    """What the result holds is in docs/cli.md."""
    client, secret = found.stack.aws.secrets, found.secret
    outcome = UNCHANGED
    if found.former:
        turn_on_again(found.stack, secret.arn, found.former, rules_of(secret.answer))
        client.untag_resource(SecretId=secret.arn, TagKeys=[FORMER_FUNCTION])
        outcome = RESTORED
    elif found.changes_something:
        client.cancel_rotate_secret(SecretId=secret.arn)
        outcome = DETACHED
    left = _left(found)
    data = {
        "secret": secret.name,
        "secretArn": secret.arn,
        "outcome": outcome,
        "function": found.former or secret.function_arn,
        "left": left,
    }
    return Result("offboard", data, (f"{secret.name}: {_said(found, outcome)}", *(f"left: {each}" for each in left)))


def _said(found: Leaving, outcome: str) -> str:
    return {
        UNCHANGED: "its rotation was turned off already",
        DETACHED: f"its rotation is turned off; `rotatorctl onboard {found.secret.name}` turns it on again",
        RESTORED: f"{found.former} rotates it again",
    }[outcome]


def _left(found: Leaving) -> list[str]:
    """What a person may want to take away, too."""
    left, secret, tags = list[str](), found.secret, found.secret.tags
    if not found.former:
        left.append(
            "the secret still names this stack's function, so the stack may still read it; Secrets Manager forgets the "
            "function only for another one"
        )
    if ours := sorted(key for key in tags if key.startswith("rotation:")):
        left.append(f"its tags {', '.join(ours)}")
    if (former := tags.get(FORMER_FUNCTION)) and not found.former:
        left.append(f"{former} rotated it before: rotatorctl offboard {secret.name} --restore puts that back")
    left.append("on the server a second user, if two have been taking turns, and the rights of the admin")
    return left


def _former(stack: Stack, secret: Described) -> str:
    """The function that is to rotate it again, if it still exists."""
    if not (arn := secret.tags.get(FORMER_FUNCTION, "")):
        raise CommandError(
            "NoFormerFunctionError",
            f"the secret has no tag {FORMER_FUNCTION}, which `onboard` sets where it takes a secret over",
            f"without --restore its rotation is turned off: rotatorctl offboard {secret.name}",
        )
    client = stack.aws.functions
    try:
        client.get_function_configuration(FunctionName=arn)
    except client.exceptions.ResourceNotFoundException:
        raise CommandError(
            "NoFormerFunctionError",
            f"the function {arn}, which rotated it before, does not exist any more",
            f"without --restore its rotation is turned off: rotatorctl offboard {secret.name}",
        ) from None
    return arn
