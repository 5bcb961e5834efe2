"""`offboard`: take a secret out of rotation, or give it back to the function that rotated it before."""

from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from rotatorctl.attachment import FORMER_FUNCTION, turn_on_again
from rotatorctl.aws import AWS_ERRORS, EXPLAINED, AwsError, explained
from rotatorctl.deployed import Described, Stack
from rotatorctl.following import not_carried_out
from rotatorctl.result import CommandError, Problem, Result
from rotatorctl.schedule import rules_of, words

UNCHANGED, DETACHED, RESTORED = "unchanged", "detached", "restored"


@dataclass(frozen=True)
class Leaving:
    """A secret that this stack rotates; `former` is the function that it goes back to, if it is to."""

    stack: Stack
    secret: Described
    former: str
    # By a command before, which has not taken the tag away.
    given_back: bool = False

    @property
    def changes_something(self) -> bool:
        return bool(self.former) or self.secret.rotation_enabled

    @property
    def plan(self) -> str:
        name, rules = self.secret.name, words(rules_of(self.secret.answer))
        if self.given_back:
            return f"{name}: {self.former} rotates it again already; its tag {FORMER_FUNCTION} is taken away."
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
    """Raises CommandError for a secret of somebody else, with a pending version, or without a former function."""
    secret = Described.read(stack.aws, secret_id)
    former = secret.tags.get(FORMER_FUNCTION, "")
    if restore and former and not secret.deleted and _rotates(former, secret):
        return Leaving(stack, secret, former, given_back=True)
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
    """What the result holds is in docs/cli.md.

    Raises the error of AWS, or CommandError, where nothing was changed, or nobody could read whether it was.
    """
    outcome, problems = UNCHANGED, list[Problem]()
    if found.former:
        if not found.given_back:
            _give_back(found)
        outcome, problems = RESTORED, _without_tag(found)
    elif found.changes_something:
        _turn_off(found)
        outcome = DETACHED
    secret, left = found.secret, _left(found, tagged=bool(problems))
    data = {
        "secret": secret.name,
        "secretArn": secret.arn,
        "outcome": outcome,
        "function": found.former or secret.function_arn,
        "left": left,
    }
    shown = (f"{secret.name}: {_said(found, outcome)}", *(f"left: {each}" for each in left))
    return Result("offboard", data, shown, tuple(problems))


def _give_back(found: Leaving) -> None:
    secret = found.secret
    _require_done(
        found,
        lambda: turn_on_again(found.stack, secret.arn, found.former, rules_of(secret.answer)),
        lambda now: _rotates(found.former, now),
        "RotateSecret",
    )


def _turn_off(found: Leaving) -> None:
    client, arn = found.stack.aws.secrets, found.secret.arn
    _require_done(
        found,
        lambda: client.cancel_rotate_secret(SecretId=arn),
        lambda now: not now.rotation_enabled,
        "CancelRotateSecret",
    )


def _without_tag(found: Leaving) -> list[Problem]:
    """What keeps the tag there, once its function rotates the secret again."""
    client, name, arn = found.stack.aws.secrets, found.secret.name, found.secret.arn
    try:
        _require_done(
            found,
            lambda: client.untag_resource(SecretId=arn, TagKeys=[FORMER_FUNCTION]),
            lambda now: FORMER_FUNCTION not in now.tags,
            "UntagResource",
        )
    except EXPLAINED as error:
        why = explained(error)
        message = f"{found.former} rotates it again, but to take its tag {FORMER_FUNCTION} away failed: {why.message}"
        next_step = f"{why.next_step}; `rotatorctl offboard {name} --restore` takes the tag away"
        return [Problem(why.code, message, next_step, name)]
    return []


def _require_done(
    found: Leaving, send: Callable[[], object], is_done: Callable[[Described], bool], operation: str
) -> None:
    """Send a request. An answer that is lost, or a refusal of the SDK's repeat, does not tell whether it was carried
    out: DescribeSecret does.

    Raises the error of AWS, or CommandError if it got no answer or nobody could read what came of it.
    """
    try:
        send()
    except AWS_ERRORS as error:
        if is_done(_now(found, error, operation)):
            return
        if isinstance(error, BotoCoreError):
            raise not_carried_out(error, "nothing came of it", operation) from None
        raise


def _now(found: Leaving, error: AwsError, operation: str) -> Described:
    try:
        return Described.read(found.stack.aws, found.secret.arn)
    except EXPLAINED:
        why = explained(error)
        raise CommandError(
            why.code,
            f"{why.message}; whether {operation} was carried out could not be read",
            f"{why.next_step}; `rotatorctl doctor {found.secret.name}` says what rotates it",
        ) from None


def _rotates(function_arn: str, secret: Described) -> bool:
    """The tag has its ARN without a version."""
    return secret.rotation_enabled and secret.function_arn.removesuffix(":$LATEST") == function_arn


def _said(found: Leaving, outcome: str) -> str:
    return {
        UNCHANGED: "its rotation was turned off already",
        DETACHED: f"its rotation is turned off; `rotatorctl onboard {found.secret.name}` turns it on again",
        RESTORED: f"{found.former} rotates it again",
    }[outcome]


def _left(found: Leaving, tagged: bool) -> list[str]:
    """What a person may want to take away, too."""
    left, secret, tags = list[str](), found.secret, found.secret.tags
    if not found.former:
        left.append(
            "the secret still names this stack's function, so the stack may still read it; Secrets Manager forgets the "
            "function only for another one"
        )
    if ours := sorted(key for key in tags if key.startswith("rotation:") or (tagged and key == FORMER_FUNCTION)):
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
