"""A secret's value, checked for what its engine needs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rotation import secret_fields
from rotation.errors import InvalidSecretError
from rotation.model import Credentials, Json
from rotation.redaction import conceal
from rotation.settings import ALTERNATING_USERS, OFF, RETAIN, SINGLE_USER, Settings

# What a server's engine reads besides the password.
_SERVER_KEYS = {"engine", "host", "port", "username", "dbname", "ssl", "masterarn", "replicaSet"}
_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}")

# What AWS's own rotation functions rotate, or people ask for, and this rotator does not.
_NOT_YET = frozenset(
    {"sqlserver", "oracle", "db2", "redshift", "timestream-influxdb", "elasticache", "memorydb", "iam", "api-key"}
)
# Shapes without the key `engine`: ElastiCache's users are changed by its API, and IAM keys by IAM's.
_SHAPES_NOT_YET = {"user_arn": "elasticache", "AccessKeyId": "iam", "aws_access_key_id": "iam"}


@dataclass(frozen=True)
class EngineTraits:
    """What can be said about an engine without loading its driver."""

    module: str
    default_port: int
    default_dbname: str = ""
    # Whether two users can take turns, and how many bytes the server takes for a user's name (0: it says so itself).
    alternates: bool = False
    longest_name: int = 0
    # Whether a user that changes its own password goes on being let in with the old one too.
    holds_two: bool = False
    # Whether a user belongs to the database of the secret.
    users_in_databases: bool = False
    # Whether `host` may be a list, separated by commas, each with a port of its own.
    many_hosts: bool = False

    @property
    def has_server(self) -> bool:
        return self.default_port != 0


@dataclass(frozen=True)
class Secret:
    """A secret's value, checked for what its engine needs: a JSON object, or for engine `generic` any text."""

    text: str = field(repr=False)
    # None for a plain text.
    mapping: Json | None = field(repr=False)
    settings: Settings
    traits: EngineTraits

    @classmethod
    def parse(cls, value: str, tags: Mapping[str, str], engines: Mapping[str, EngineTraits]) -> "Secret":
        """The secret in the text `value`; raises InvalidSecretError naming the key, tag or rule that is broken."""
        settings = Settings.of(tags)
        fields = _json(value, settings, engines)
        for key in ("password", settings.key):
            conceal(str((fields or {}).get(key) or ""))
        secret = cls(value, fields, settings, _traits(fields or {}, settings, engines))
        secret._check_settings()
        secret.credentials  # noqa: B018  building them checks every key that the engine needs
        return secret

    @property
    def fields(self) -> Json:
        return self.mapping or {}

    @property
    def credentials(self) -> Credentials:
        if not self.traits.has_server:
            # A name that no server knows, for people to read; anything else that stands there may be a value.
            name = self.fields.get("username")
            return Credentials(name if isinstance(name, str) else "", self._password)
        dbname = secret_fields.optional(self.fields, "dbname", self.traits.default_dbname)
        return Credentials(
            username=secret_fields.text(self.fields, "username"),
            password=self._password,
            host=(secret_fields.hosts if self.traits.many_hosts else secret_fields.host)(self.fields),
            port=secret_fields.port(self.fields, self.traits.default_port),
            dbname=dbname,
            ssl=secret_fields.ssl(self.fields),
            replica_set=secret_fields.optional(self.fields, "replicaSet"),
            realm=dbname if self.traits.users_in_databases else "",
        )

    @property
    def admin_arn(self) -> str:
        """The ARN of the admin secret, if one is named and used."""
        if self.settings.two_passwords == RETAIN or not self.traits.has_server:
            # The server takes RETAIN CURRENT PASSWORD from the user itself alone.
            return ""
        arn = secret_fields.optional(self.fields, "masterarn")
        if arn and not _SECRET_ARN.fullmatch(arn):
            raise InvalidSecretError("the secret's key 'masterarn' is not the whole ARN of an admin secret")
        return arn

    @property
    def keeps_password(self) -> bool:
        """Whether the password before goes on working when the user has changed it itself."""
        return self.traits.holds_two or self.settings.two_passwords == RETAIN

    @property
    def alternates(self) -> bool:
        """Whether two users take turns: what the tag says, else whether an admin secret is named, as AWS has it."""
        chosen = self.settings.strategy
        return chosen == ALTERNATING_USERS or (
            chosen != SINGLE_USER and bool(self.admin_arn) and self.traits.alternates
        )

    def with_value(self, password: str, username: str | None = None) -> str:
        """The value with another password, and perhaps user; every other field survives as it is."""
        if self.mapping is None:
            return password
        changed = {self._key: password} | ({} if username is None else {"username": username})
        return json.dumps({**self.fields, **changed}, ensure_ascii=False)

    @property
    def _key(self) -> str:
        return self.settings.key or "password"

    @property
    def _password(self) -> str:
        if self.mapping is None:
            return self.text
        hint = "" if self.traits.has_server or self.settings.key else "; the tag rotation:key names another one"
        return secret_fields.text(self.fields, self._key, hint)

    def _check_settings(self) -> None:
        engine, settings = self.traits.module, self.settings
        if settings.key in (_SERVER_KEYS if self.traits.has_server else {"engine"}):
            raise InvalidSecretError(f"the tag 'rotation:key' names {settings.key!r}, which is no key for a password")
        if settings.two_passwords == RETAIN:
            self._check_retain()
        if settings.two_passwords == OFF and self.traits.holds_two:
            raise InvalidSecretError(
                f"the tag 'rotation:two-passwords' cannot be 'off' for {engine}; after a leak rotate twice"
            )
        if settings.reads and not self.traits.has_server:
            raise InvalidSecretError(f"the tag 'rotation:reads' needs an engine with a server, not {engine}")
        self._check_server()
        self._check_alternates()

    def _check_server(self) -> None:
        """A tag alone takes no server from a secret: the value would change, the server would not, and nobody knew."""
        named, fields = self.settings.engine, self.fields
        if named and not self.traits.has_server and "host" in fields and fields.get("engine") != named:
            raise InvalidSecretError(
                f"the tag 'rotation:engine' is {named!r}, which tells no server of the new value, but the secret's "
                f"JSON names a host; if no server knows the value, let the JSON's key 'engine' be {named!r}, too"
            )

    def _check_retain(self) -> None:
        name = self.settings.engine or self.fields.get("engine")
        if self.traits.module != "mysql" or name == "mariadb":
            raise InvalidSecretError(
                f"the tag 'rotation:two-passwords' may be 'retain' for MySQL alone, not for {name}"
            )
        if self.settings.strategy == ALTERNATING_USERS:
            raise InvalidSecretError(
                "alternating users need no second password: take the tag 'rotation:two-passwords' off"
            )

    def _check_alternates(self) -> None:
        engine = self.traits.module
        if self.alternates and not self.traits.alternates:
            raise InvalidSecretError(f"engine {engine} has no alternating users; see docs/engines.md")
        if self.alternates and not self.admin_arn:
            raise InvalidSecretError(
                "alternating users need an admin secret: its ARN as 'masterarn' in the secret's JSON"
            )


def _json(value: str, settings: Settings, engines: Mapping[str, EngineTraits]) -> Json | None:
    """The secret's JSON, or None for a plain text, which only an engine without a server takes."""
    traits = engines.get(settings.engine)
    try:
        return secret_fields.json_object(value)
    except InvalidSecretError:
        if traits and not traits.has_server and not settings.key:
            return None
        raise


def _traits(fields: Json, settings: Settings, engines: Mapping[str, EngineTraits]) -> EngineTraits:
    known = ", ".join(sorted(engines))
    shape = next((engine for key, engine in _SHAPES_NOT_YET.items() if key in fields), None)
    name = settings.engine or fields.get("engine") or shape
    if not name:
        raise InvalidSecretError(
            'the secret names no engine: add the key "engine" to its JSON, or tag it with aws secretsmanager '
            f"tag-resource --secret-id <secret> --tags Key=rotation:engine,Value=<engine>; engines: {known}"
        )
    if not isinstance(name, str):
        # Not quoted: what stands there may hold a password.
        raise InvalidSecretError(f"the secret's key 'engine' is not a text; this rotator knows {known}")
    named = f"{name!r} (tag 'rotation:engine')" if settings.engine else f"{name!r}"
    if _NOT_YET & {name, name.lower().partition("-")[0]}:
        raise InvalidSecretError(
            f"this rotator cannot rotate {named}, see docs/engines.md#not-there-yet; it knows {known}"
        )
    if name not in engines:
        raise InvalidSecretError(f"unknown engine {named}; this rotator knows {known}")
    return engines[name]
