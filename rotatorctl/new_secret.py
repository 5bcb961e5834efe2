"""A secret that `onboard` makes: its value, and where the password in it comes from, which is never an argument."""

import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rotation import engines
from rotation.errors import InvalidSecretError
from rotation.model import AWSCURRENT, Json
from rotation.redaction import conceal, redacted
from rotation.secret import Secret
from rotation.secret_fields import json_object, text
from rotatorctl.aws import AWS_ERRORS, Aws, AwsError, explained
from rotatorctl.databases import looked_up
from rotatorctl.deployed import Described, tag_list
from rotatorctl.following import Progress
from rotatorctl.result import CommandError

# Lets a person type the password of the user of that name.
type Ask = Callable[[str], str]

# No names of secrets, which have no such signs:
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
TYPED, GENERATED = "(typed)", "(generated)"
_KEYS = "docs/engines.md#the-secrets-json lists the keys of a value"
_OPTIONS = f"--engine, --host, --port, --username, --dbname and --admin set the keys of the new value; {_KEYS}"


@dataclass(frozen=True)
class Asked:
    """What the value is to hold. `database` is an instance or a cluster, as the kind and its name."""

    database: tuple[str, str] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    admin: str = ""
    # TYPED, GENERATED, or the name of the secret that has it.
    password: str = TYPED
    typed: Ask = field(default=lambda _: "", repr=False)

    @property
    def says_anything(self) -> bool:
        return bool(self.database or self.fields or self.admin or self.password != TYPED)


@dataclass(frozen=True)
class NewSecret:
    """The whole value, and what may be told of it."""

    text: str = field(repr=False)
    words: str
    # Whether the server, if there is one, has the password already: a generated one it gets from a person.
    logs_in: bool


def server_fields(aws: Aws, asked: Asked, progress: Progress) -> Json:
    """All of the value but the password. Raises CommandError for a database or an admin secret that is not there."""
    fields: Json = {}
    if asked.database:
        found = looked_up(aws, *asked.database, progress)
        fields |= {"engine": found.engine, "host": found.host, "port": found.port}
    fields |= asked.fields
    if "port" in fields and str(fields["port"]).isdigit():
        fields["port"] = int(fields["port"])
    if asked.admin:
        fields["masterarn"] = Described.read(aws, asked.admin).arn
    return fields


def require_same(aws: Aws, secret: Described, fields: Json) -> None:
    """The value of a secret that exists is never overwritten, so it has to be the one that was asked for."""
    there = _parsed(aws.secrets.get_secret_value(SecretId=secret.arn).get("SecretString", ""), secret.tags)
    asked = _parsed(json.dumps({**there.fields, **fields}), secret.tags)
    if not asked.credentials.same_account(there.credentials) or asked.traits != there.traits:
        raise CommandError(
            "SecretDiffersError",
            f"the secret exists and is for {_account(there)}, engine {there.traits.module}; asked for was "
            f"{_account(asked)}, engine {asked.traits.module}. Its value was not touched",
            f"take another name, or onboard it as it is: rotatorctl onboard {secret.name}",
        )


def made(aws: Aws, name: str, fields: Json, asked: Asked, tags: Mapping[str, str]) -> NewSecret:
    """The value with its password. Raises CommandError, before anything is typed, if it could drive no rotation."""
    known = ", ".join(sorted(engines.ENGINES))
    if "engine" not in fields and "rotation:engine" not in tags:
        raise CommandError("InvalidSecretError", "no option says which engine it is for", f"give --engine: {known}")
    secret = _parsed(json.dumps(fields | {"password": secrets.token_urlsafe()}, ensure_ascii=False), tags, _OPTIONS)
    value = secret.with_value(_password(aws, asked, secret))
    conceal(value)
    origin = {TYPED: "the password that you typed", GENERATED: "a generated password"}.get(
        asked.password, f"the password in {asked.password}, which the first rotation makes out of date"
    )
    words = f"The secret {name} is created, for {_account(secret)}, with {origin}."
    return NewSecret(value, words, asked.password != GENERATED or not secret.traits.has_server)


def create(aws: Aws, name: str, new: NewSecret, tags: Mapping[str, str]) -> Described:
    """Make the secret, with its tags. It is not read: what has just been made may not be seen yet.

    Raises the error of AWS, or CommandError where it is not known whether the secret is there.
    """
    version, listed = str(uuid.uuid4()), tag_list(tags)
    try:
        answer = aws.secrets.create_secret(Name=name, ClientRequestToken=version, SecretString=new.text, Tags=listed)
        arn = answer["ARN"]
    except AWS_ERRORS as error:
        arn = _made_all_the_same(aws, name, version, error)
    return Described({"ARN": arn, "Name": name, "Tags": listed, "VersionIdsToStages": {version: [AWSCURRENT]}})


def _made_all_the_same(aws: Aws, name: str, version: str, error: AwsError) -> str:
    """The ARN of the secret, if its version tells that only the answer was lost."""
    try:
        found = Described.find(aws, name)
    except AWS_ERRORS:
        why = explained(error)
        raise CommandError(
            why.code,
            f"{why.message}; whether the secret {name} was made could not be read, and it is not attached",
            f"{why.next_step}; look whether it is there before you repeat it: aws secretsmanager describe-secret "
            f"--secret-id {name}",
        ) from None
    if found is None or version not in found.stages:
        raise error
    return found.arn


def discard(aws: Aws, arn: str) -> list[str]:
    """Delete the secret that was just made: its password is where it came from. Returns what did not succeed."""
    try:
        aws.secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    except AWS_ERRORS as error:
        return [f"the secret {arn} was made and is there, not attached: {explained(error).message}"]
    return []


def _password(aws: Aws, asked: Asked, secret: Secret) -> str:
    if asked.password == TYPED:
        password = asked.typed(secret.credentials.username)
    elif asked.password == GENERATED:
        password = secret.settings.new_value()
    else:
        password = _taken_from(aws, asked.password)
    conceal(password)
    return password


def _taken_from(aws: Aws, name: str) -> str:
    source = Described.read(aws, name)
    if source.rotation_enabled:
        raise _two_secrets(source)
    try:
        fields = json_object(aws.secrets.get_secret_value(SecretId=source.arn).get("SecretString", ""))
        return text(fields, "password")
    except InvalidSecretError as error:
        raise CommandError(
            "InvalidSecretError", f"the password is not to be had from {name}: {error}", "name a secret that has one"
        ) from None


def _two_secrets(source: Described) -> CommandError:
    """Whoever rotates it, its rotation is turned off by the same call, but for a service that owns the secret."""
    service = source.answer.get("OwningService")
    by = f"the service {service!r}" if service else source.function_arn or "another function"
    cancel = f"aws secretsmanager cancel-rotate-secret --secret-id {source.arn}"
    return CommandError(
        "TwoSecretsError",
        f"{by} rotates {source.name}: of two secrets for one user a rotation of either breaks the other",
        "take another user, or have that service manage the password no more"
        if service
        else f"onboard that one, or turn its rotation off before: {cancel}",
    )


def _account(secret: Secret) -> str:
    """Whose password it is, for people."""
    user = secret.credentials
    if secret.traits.has_server:
        return str(user)
    return redacted(f"user {user.username!r} of no server") if user.username else "no server"


def _parsed(value: str, tags: Mapping[str, str], next_step: str = _KEYS) -> Secret:
    try:
        return Secret.parse(value, tags, engines.ENGINES)
    except InvalidSecretError as error:
        raise CommandError("InvalidSecretError", str(error), next_step) from None
