"""A secret's rotation turned on, so that the functions prove its log-in; or taken back, as far as AWS lets it."""

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rotation.executions import attempt_name
from rotation.model import AWSPENDING, TEST
from rotatorctl.aws import EXPLAINED, explained
from rotatorctl.deployed import Described, Stack, tag_list
from rotatorctl.executions import Executions, Run
from rotatorctl.following import CARRIED_OUT, Following, not_carried_out
from rotatorctl.schedule import rules_of, words

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import RotationRulesTypeTypeDef

# Which function rotated the secret before this stack did. Not `rotation:…`: the functions refuse those that they do
# not know, and need none of this.
FORMER_FUNCTION = "rotatorctl:former-function"


@dataclass(frozen=True)
class Change:
    """What is to be different of a secret: tags, and the rules of its rotation. `secret` is as it was before."""

    secret: Described
    tags: dict[str, str]
    rules: "RotationRulesTypeTypeDef"

    @property
    def new_tags(self) -> dict[str, str]:
        return {key: value for key, value in self.tags.items() if self.secret.tags.get(key) != value}

    def turns_on(self, stack: Stack) -> bool:
        """Whether its rotation itself changes, not tags alone."""
        secret = self.secret
        ours = secret.rotation_enabled and secret.function_arn == stack.function_arn
        return not ours or rules_of(secret.answer) != self.rules


@dataclass
class Attachment:
    """One attempt to attach a secret. `token` is the version that Secrets Manager makes for its test."""

    following: Following
    change: Change
    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    _tagged: bool = False
    _attached: bool = False
    _refused: bool = False
    _given_back: bool = False

    def attach(self) -> None:
        """Set the tags and turn rotation on. Nothing is rotated: Secrets Manager lets the functions log in."""
        client, arn, tags = self.following.stack.aws.secrets, self.change.secret.arn, self.change.new_tags
        if tags:
            self._tagged = True
            client.tag_resource(SecretId=arn, Tags=tag_list(tags))
        # Where no answer comes it may have been done all the same.
        self._attached = True
        try:
            client.rotate_secret(
                SecretId=arn,
                ClientRequestToken=self.token,
                RotationLambdaARN=self.following.stack.function_arn,
                RotationRules=self.change.rules,
                RotateImmediately=False,
            )
        except ClientError:
            self._attached, self._refused = False, True
            raise
        except BotoCoreError as unanswered:
            self._require_done(unanswered)

    def _require_done(self, unanswered: BotoCoreError) -> None:
        """Raises CommandError if DescribeSecret shows that nothing came of the request without an answer."""
        stack, secret = self.following.stack, self.change.secret
        if not self._is_done() and Executions(stack).find(secret.arn, self._test_name) is None:
            self._attached = False
            raise not_carried_out(unanswered, "rotation is as it was, and no log-in test began")
        self.following.progress(secret.name, CARRIED_OUT)

    def tested(self) -> Run | None:
        """The log-in test as it ended; None if none has begun in time."""
        secret, executions = self.change.secret, Executions(self.following.stack)
        run = self.following.awaited(lambda: executions.find(secret.arn, self._test_name))
        return self.following.watched(secret, run) if run else None

    def settle(self) -> None:
        """Wait, for a while, until Secrets Manager has heard of the end of its test, so that a rotation may begin."""
        self.following.awaited(lambda: None if self._carries_label() else True)

    @property
    def test_shown(self) -> str:
        """What shows the log-in test, whether it has begun or not."""
        stack = self.following.stack
        return stack.execution_shown(stack.execution_arn(self._test_name))

    def put_back(self) -> list[str]:
        """Undo what `attach` has done; returns what could not be undone, in sentences."""
        left = list[str]()
        for undo in (self._look, self._cancel, self._take_label_off, self._restore, self._put_tags_back):
            try:
                undo()
            except EXPLAINED as error:
                left.append(explained(error).message)
        return left

    def left(self) -> list[str]:
        """What is not as before although all was put back that can be, in sentences.

        CancelRotateSecret keeps function and rules, and RotateSecret alone sets others, which turns rotation on and
        lets that function try a log-in: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
        So a function whose rotation was off is not given back, but remembered.
        """
        if not self._stays:
            return []
        secret, left = self.change.secret, list[str]()
        if secret.function_arn != self.following.stack.function_arn:
            left.append(
                "the secret names this stack's function, so the stack may read it; Secrets Manager forgets a function "
                "only for another one"
            )
        if FORMER_FUNCTION in self.change.tags:
            left.append(
                f"its tag {FORMER_FUNCTION}, for the function that it named before: `rotatorctl offboard {secret.name} "
                "--restore` turns rotation by that one on"
            )
        if rules_of(secret.answer) != self.change.rules:
            left.append(f"its schedule, {words(self.change.rules)}, for when its rotation is turned on again")
        return left

    def _look(self) -> None:
        """Whether what was refused had been done: the SDK repeats a request, and the answer is that to the last."""
        if self._refused:
            self._attached = self._is_done()

    def _is_done(self) -> bool:
        stack = self.following.stack
        now = Described.read(stack.aws, self.change.secret.arn)
        turned_on = self.change.turns_on(stack) and not replace(self.change, secret=now).turns_on(stack)
        return turned_on or self.token in now.stages

    def _cancel(self) -> None:
        if self._undoes_rotation:
            self.following.stack.aws.secrets.cancel_rotate_secret(SecretId=self.change.secret.arn)

    def _take_label_off(self) -> None:
        """What a test that was cancelled left: its version holds no other value than AWSCURRENT's, or none."""
        client, arn = self.following.stack.aws.secrets, self.change.secret.arn
        if not self._undoes_rotation or not self._carries_label():
            return
        try:
            client.update_secret_version_stage(SecretId=arn, VersionStage=AWSPENDING, RemoveFromVersionId=self.token)
        except ClientError:
            # Secrets Manager was faster.
            if self._carries_label():
                raise

    def _restore(self) -> None:
        """The function and rules of before; Secrets Manager lets that function test a log-in, too."""
        secret = self.change.secret
        if self._undoes_rotation and secret.rotation_enabled and secret.function_arn:
            turn_on_again(self.following.stack, secret.arn, secret.function_arn, rules_of(secret.answer))
            self._given_back = True

    def _put_tags_back(self) -> None:
        client, secret = self.following.stack.aws.secrets, self.change.secret
        kept = (FORMER_FUNCTION,) if self._stays else ()
        tags = [key for key in self.change.new_tags if key not in kept]
        if not self._tagged:
            return
        if added := [key for key in tags if key not in secret.tags]:
            client.untag_resource(SecretId=secret.arn, TagKeys=added)
        if changed := {key: secret.tags[key] for key in tags if key in secret.tags}:
            client.tag_resource(SecretId=secret.arn, Tags=tag_list(changed))

    @property
    def _test_name(self) -> str:
        return attempt_name(TEST, self.change.secret.arn, self.token, 1)

    @property
    def _undoes_rotation(self) -> bool:
        return self._attached and self.change.turns_on(self.following.stack)

    @property
    def _stays(self) -> bool:
        """Whether function and rules are those of this attempt even after it was undone."""
        return self._undoes_rotation and not self._given_back

    def _carries_label(self) -> bool:
        described = Described.read(self.following.stack.aws, self.change.secret.arn)
        return AWSPENDING in described.stages.get(self.token, ())


def turn_on_again(stack: Stack, arn: str, function_arn: str, rules: "RotationRulesTypeTypeDef") -> None:
    """Give a secret the function that it had; without rules it keeps those that it has. Nothing is rotated."""
    client = stack.aws.secrets
    if rules:
        client.rotate_secret(SecretId=arn, RotationLambdaARN=function_arn, RotationRules=rules, RotateImmediately=False)
    else:
        client.rotate_secret(SecretId=arn, RotationLambdaARN=function_arn, RotateImmediately=False)
