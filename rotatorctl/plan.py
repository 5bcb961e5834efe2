"""What `onboard` is going to do with a secret: checked, and told before anything is changed."""

import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rotatorctl.attachment import FORMER_FUNCTION, Change
from rotatorctl.checks import secret as of_secret
from rotatorctl.checks import stack as of_stack
from rotatorctl.checks import value as of_value
from rotatorctl.checks.base import FINE, PROBLEM, Check, Examined, Finding
from rotatorctl.cron import ScheduleError
from rotatorctl.deployed import Described, Stack, tag_list
from rotatorctl.following import Progress
from rotatorctl.new_secret import Asked, NewSecret, made, require_same, server_fields
from rotatorctl.result import CommandError, Problem
from rotatorctl.schedule import DEFAULT, Schedule, moment, rules_of, words

# Whether people are told, and by which function the secret is rotated now, keeps nobody from onboarding it.
_TOLD, _ROTATION = "subscriptions", ("rotation", "schedule")
_OF_SECRET = tuple(check for check in of_secret.CHECKS if check.name not in _ROTATION)


@dataclass(frozen=True)
class Wanted:
    """What the person asks for. Without a schedule the secret's own stays, or it gets one of 30 days."""

    schedule: Schedule | None = None
    tags: dict[str, str] = field(default_factory=dict)
    rotate_now: bool = False
    # Seconds in which an execution has to begin.
    patience: float = 120


@dataclass(frozen=True)
class Plan:
    """Of a secret that is there, or with `new` of one that is made first."""

    stack: Stack
    wanted: Wanted
    change: Change
    findings: tuple[Finding, ...]
    new: NewSecret | None = None

    @property
    def secret(self) -> Described:
        return self.change.secret

    @property
    def former(self) -> str:
        """The function of somebody else that it is taken over from."""
        return self.secret.function_arn if self.secret.function_arn != self.stack.function_arn else ""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What has to be mended before."""
        return tuple(
            Problem(each.code, f"{each.what}: {each.why}", self._mends(each), self.secret.name)
            for each in self.findings
            if each.level == PROBLEM and each.check != _TOLD
        )

    def _mends(self, finding: Finding) -> str:
        """A tag that the secret is only to get is left out, and not taken off."""
        tag = finding.command.rpartition(" --tag-keys ")[2] if " untag-resource " in finding.command else ""
        if tag in self.change.new_tags:
            return f"give the tag {tag} another value, or leave it out: --tag, or the key tags of the file"
        return finding.command

    @property
    def changes_nothing(self) -> bool:
        return not self.new and not self.change.new_tags and not self.change.turns_on(self.stack)

    @property
    def attaches(self) -> bool:
        """Not a secret with a password that no server has yet."""
        return self.new is None or self.new.logs_in

    @property
    def text(self) -> str:
        noted = (
            each for each in self.findings if each.level != FINE and (each.level != PROBLEM or each.check == _TOLD)
        )
        lines = [f"{self.secret.name}, by the stack {self.stack.name!r}:"]
        lines += [f"  {each.level}: {each.what}" for each in noted]
        return "\n".join(lines + [f"{number}. {step}" for number, step in enumerate(self._steps(), 1)])

    @property
    def examined(self) -> Examined:
        """The secret with the tags that it is to have, and with the value of one that is made."""
        secret = _with_tags(self.secret, self.secret.tags | self.change.tags)
        return Examined(self.stack, secret, self.new.text if self.new else "")

    @property
    def command(self) -> str:
        """The command that asks for the same, of the secret once it exists."""
        schedule, parts = self.wanted.schedule, ["rotatorctl", "onboard", self.secret.name]
        if schedule:
            parts += ["--schedule", schedule.expression]
        if schedule and schedule.window:
            parts += ["--window", f"{schedule.window}h"]
        parts += [part for key, value in self.wanted.tags.items() for part in ("--tag", f"{key}={value}")]
        return shlex.join(parts + (["--rotate-now"] if self.wanted.rotate_now else []))

    @property
    def _but(self) -> str:
        """What is not, because AWS takes a function off no secret (Attachment.left)."""
        if self.new or self.secret.rotation_enabled or self.secret.function_arn == self.stack.function_arn:
            return ""
        return ", but for the function, which the secret goes on naming with its rotation turned off"

    def _steps(self) -> list[str]:
        steps = [self.new.words] if self.new else []
        if tags := self.change.new_tags:
            steps.append("Tags: " + ", ".join(f"{key}={value}" for key, value in tags.items()) + ".")
        if not self.attaches:
            return [*steps, "It is not attached yet: no server knows the generated password."]
        taken = f", and is taken over from {self.former}, which rotates it no more" if self.former else ""
        steps.append(f"Rotation is turned on{taken}; nothing is rotated. Schedule: {words(self.change.rules)}.")
        steps[-1] += "".join(f"\n   {line}" for line in windows(self.change))
        steps.append(f"The functions log in with AWSCURRENT. If they cannot, all this is put back{self._but}.")
        return steps + (["It is rotated at once."] if self.wanted.rotate_now else [])


def prepared(stack: Stack, name: str, asked: Asked, wanted: Wanted, progress: Progress) -> Plan:
    """The stack is looked at first; nobody waits for a database, or types a password, for one that cannot rotate.

    Raises CommandError for a secret, database or tag that is not as it has to be, or a rotation in the way.
    """
    aws, there = stack.aws, Described.find(stack.aws, name)
    if there is None and not asked.says_anything:
        raise CommandError(
            "SecretNotFoundError",
            f"there is no secret {name!r} in {aws.region}",
            "check the name, --region and --profile; to create it name its database: --cluster, --instance or --host",
        )
    secret = there or _not_yet(stack, name)
    change, found = _change(stack, secret, wanted), _found(of_stack.CHECKS, Examined(stack, secret))
    if any(each.level == PROBLEM and each.check != _TOLD for each in found):
        return Plan(stack, wanted, change, tuple(found))
    # Of one that is scheduled for deletion nothing can be read; the checks below say how it is restored.
    fields = server_fields(aws, asked, progress) if asked.says_anything and not secret.deleted else {}
    if there is None:
        new = made(aws, name, fields, asked, change.tags)
        after = Examined(stack, _with_tags(secret, change.tags), new.text)
        return Plan(stack, wanted, change, (*found, *_found(of_value.CHECKS, after)), new)
    if fields:
        require_same(aws, there, fields)
    after = Examined(stack, _with_tags(there, there.tags | change.tags))
    return Plan(stack, wanted, change, (*found, *_found((*_OF_SECRET, *of_value.CHECKS), after)))


def _change(stack: Stack, secret: Described, wanted: Wanted) -> Change:
    if secret.pending:
        raise CommandError(
            "PendingVersionError",
            f"a rotation of it runs or has failed: AWSPENDING is on version {secret.pending}, and Secrets Manager "
            "changes no rotation until that has ended",
            f"`rotatorctl doctor {secret.name}` tells which; `rotatorctl rotate {secret.name}` or `rotatorctl unstick "
            f"{secret.name}` ends it, if this stack began it",
        )
    tags = dict(wanted.tags)
    if secret.function_arn and secret.function_arn != stack.function_arn:
        # $ is no character of a tag, and this is what a function without a version is called by.
        tags[FORMER_FUNCTION] = secret.function_arn.removesuffix(":$LATEST")
    rules = wanted.schedule.rules if wanted.schedule else rules_of(secret.answer) or Schedule.parse(DEFAULT).rules
    return Change(secret, tags, rules)


def schedule_of(change: Change) -> Schedule | None:
    """None where the rules have no expression, or one that this tool does not know."""
    try:
        return Schedule.parse(change.rules["ScheduleExpression"], change.rules.get("Duration", ""))
    except (KeyError, ScheduleError):
        return None


def windows(change: Change) -> list[str]:
    """The next windows, as far as they are known before Secrets Manager has told its date."""
    if (schedule := schedule_of(change)) is None:
        return []
    counted = "" if schedule.cron else " if Secrets Manager counts from today"
    told = f"The next windows{counted}, each open {schedule.window_words}:"
    return [told, *(moment(at) for at in schedule.openings(datetime.now(UTC)))]


def _found(checks: tuple[Check, ...], examined: Examined) -> list[Finding]:
    return [finding for check in checks for finding in check.findings(examined)]


def _not_yet(stack: Stack, name: str) -> Described:
    """A secret that is to be made, in the account and Region of the stack."""
    _, partition, _, region, account, *_ = stack.function_arn.split(":")
    return Described({"ARN": f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}", "Name": name})


def _with_tags(secret: Described, tags: dict[str, str]) -> Described:
    return Described({**secret.answer, "Tags": tag_list(tags)})
