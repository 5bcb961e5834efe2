"""The keys of a secret's JSON, each checked by itself. Every function raises InvalidSecretError naming the key."""

import ipaddress
import json
import re

from rotation.errors import InvalidSecretError
from rotation.model import Json

_HOST_NAME = re.compile(
    r"(?=.{1,253}\.?$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?"
)
# The reader endpoint of an Aurora or DocumentDB cluster; users are changed at its writer, name.cluster-id.region...
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Overview.Endpoints.html
_READER = re.compile(r"\.cluster-ro-(?=[^.,]+\.[^,]*\.amazonaws\.com(\.cn)?\.?(:|,|$))", re.IGNORECASE)
_LARGEST_PORT = 65_535


def json_object(value: str) -> Json:
    """The JSON object in a text. Raises InvalidSecretError if it is none, or cannot be written again as it is."""
    try:
        fields = json.loads(value)
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
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


def text(fields: Json, key: str, hint: str = "") -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidSecretError(f"the secret's JSON needs the key {key!r} with a text that is not empty{hint}")
    if "\0" in value:
        raise InvalidSecretError(f"the secret's key {key!r} contains a NUL character, which no server accepts")
    return value


def optional(fields: Json, key: str, default: str = "") -> str:
    return text(fields, key) if fields.get(key) else default


def host(fields: Json) -> str:
    """A host name or address; the writer's where the secret names the reader endpoint of a cluster."""
    name = _READER.sub(".cluster-", text(fields, "host"))
    _check_host(name)
    return name


def hosts(fields: Json) -> str:
    """The same for a list, separated by commas, in which each host may have a port of its own."""
    names = _READER.sub(".cluster-", text(fields, "host"))
    for each in names.split(",") if "," in names else []:
        name, colon, number = each.partition(":")
        _check_host(name)
        port({"port": number} if colon else {}, _LARGEST_PORT)
    return names if "," in names else host(fields)


def _check_host(host: str) -> None:
    if not _is_address(host) and not _HOST_NAME.fullmatch(host):
        raise InvalidSecretError("the secret's key 'host' is neither a host name nor an IP address")


def _is_address(text: str) -> bool:
    """Without a zone, as in fe80::1%eth0: no function shares a link with a server, and a zone may be any text."""
    try:
        return not getattr(ipaddress.ip_address(text), "scope_id", None)
    except ValueError:
        return False


def port(fields: Json, default: int) -> int:
    number = fields.get("port", default)
    if isinstance(number, str) and re.fullmatch("[0-9]{1,5}", number):
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= _LARGEST_PORT:
        raise InvalidSecretError("the secret's key 'port' is not a number from 1 to 65535")
    return number


def ssl(fields: Json) -> bool:
    value = fields.get("ssl", True)
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise InvalidSecretError("the secret's key 'ssl' must be true or false")
