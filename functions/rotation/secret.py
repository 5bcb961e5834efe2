"""A secret's value, checked for what its engine needs."""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rotation.errors import InvalidSecretError
from rotation.model import Credentials, Json
from rotation.redaction import conceal

_HOST_NAME = re.compile(
    r"(?=.{1,253}\.?$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?"
)
_LARGEST_PORT = 65_535


@dataclass(frozen=True)
class EngineTraits:
    """What can be said about an engine without loading its driver."""

    module: str
    default_port: int
    default_dbname: str = ""
    # Whether two users can take turns, and how many bytes the server takes for a user's name (0: it says so itself).
    alternates: bool = False
    longest_name: int = 0
    # Whether `host` may be a list, separated by commas, each with a port of its own.
    many_hosts: bool = False

    @property
    def has_server(self) -> bool:
        return self.default_port != 0


@dataclass(frozen=True)
class Secret:
    """A secret's value: a JSON object with at least a password, checked for what its engine needs."""

    fields: Json = field(repr=False)
    traits: EngineTraits

    @classmethod
    def parse(cls, value: str, tags: Mapping[str, str], engines: Mapping[str, EngineTraits]) -> "Secret":
        """The secret in the text `value`; raises InvalidSecretError naming the key or rule that is broken."""
        fields = _json_object(value)
        conceal(str(fields.get("password") or ""))
        secret = cls(fields, _traits(fields, tags, engines))
        secret.credentials  # noqa: B018  building them checks every key that the engine needs
        return secret

    @property
    def credentials(self) -> Credentials:
        password = _text(self.fields, "password")
        if not self.traits.has_server:
            return Credentials(str(self.fields.get("username", "")), password)
        return Credentials(
            username=_text(self.fields, "username"),
            password=password,
            host=_host(self.fields),
            port=_port(self.fields, self.traits.default_port),
            dbname=_text({"dbname": self.fields.get("dbname") or self.traits.default_dbname}, "dbname"),
            ssl=_ssl(self.fields),
        )

    def with_password(self, password: str) -> str:
        """The value with another password; every other field survives as it is."""
        return json.dumps({**self.fields, "password": password}, ensure_ascii=False)


def _json_object(value: str) -> Json:
    try:
        fields = json.loads(value)
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidSecretError("the secret's value holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError):
        raise InvalidSecretError(
            "the secret's value is not JSON; expected an object with the keys engine, host, username and password"
        ) from None
    if not isinstance(fields, dict):
        raise InvalidSecretError(
            'the secret\'s value is JSON but not an object; expected {"engine": ..., "password": ...}'
        )
    return fields


def _traits(fields: Json, tags: Mapping[str, str], engines: Mapping[str, EngineTraits]) -> EngineTraits:
    known = ", ".join(sorted(engines))
    name = tags.get("rotation:engine") or fields.get("engine")
    if not name:
        raise InvalidSecretError(
            'the secret names no engine: add the key "engine" to its JSON, or tag it with aws secretsmanager '
            f"tag-resource --secret-id <secret> --tags Key=rotation:engine,Value=<engine>; engines: {known}"
        )
    if not isinstance(name, str) or name not in engines:
        raise InvalidSecretError(f"unknown engine {name!r}; this rotator knows {known}")
    return engines[name]


def _text(fields: Json, key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidSecretError(f"the secret's JSON needs the key {key!r} with a text that is not empty")
    if "\0" in value:
        raise InvalidSecretError(f"the secret's key {key!r} contains a NUL character, which no server accepts")
    return value


def _host(fields: Json) -> str:
    host = _text(fields, "host")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise InvalidSecretError("the secret's key 'host' is neither a host name nor an IP address") from None
    return host


def _port(fields: Json, default: int) -> int:
    port = fields.get("port", default)
    if isinstance(port, str) and re.fullmatch("[0-9]{1,5}", port):
        port = int(port)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= _LARGEST_PORT:
        raise InvalidSecretError("the secret's key 'port' is not a number from 1 to 65535")
    return port


def _ssl(fields: Json) -> bool:
    ssl = fields.get("ssl", True)
    if ssl is True or ssl == "true":
        return True
    if ssl is False or ssl == "false":
        return False
    raise InvalidSecretError("the secret's key 'ssl' must be true or false")
