"""Secret values seen by this process, so that no text that leaves it can carry one.

A driver's error text may quote a statement or a connection string. Every value is remembered where it is read or made,
and the boundary passes each text through `redacted`.
"""

import base64
import html
import json
import urllib.parse
from collections.abc import Callable, Iterator

_SHORTEST = 4
_concealed: set[str] = set()


def conceal(value: str) -> None:
    """Remember a secret value, and the forms in which other programs quote it.

    Values shorter than four characters are not remembered: replacing them would garble every text.
    """
    if len(value) >= _SHORTEST:
        _concealed.update(_forms(value))


def redacted(text: str) -> str:
    """The text without any value that was concealed in this process."""
    for value in sorted(_concealed, key=len, reverse=True):
        text = text.replace(value, "[redacted]")
    return text


def forget() -> None:
    """Drop all remembered values; called when an invocation begins."""
    _concealed.clear()


def _forms(value: str) -> set[str]:
    """The value, as other programs quote it, and as those texts are quoted again."""
    quoted = {quote(value) for quote in _QUOTINGS}
    return {value, *quoted, *(quote(form) for form in quoted for quote in _QUOTINGS), *_encodings(value)}


def _encodings(value: str) -> Iterator[str]:
    """Hexadecimal, and base64: also of a longer text that contains the value, in which it may begin anywhere."""
    data = _bytes(value)
    yield data.hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        for before in range(3):
            bits = encode(b"\0" * before + data).decode()
            yield bits[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# For JSON (two ways), Python's repr of a text and of bytes, each with both kinds of quotes in it or with single ones
# alone, which are not escaped then, for SQL, URLs (two ways), XML.
_QUOTINGS: tuple[Callable[[str], str], ...] = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text + "\"'")[1:-4],
    lambda text: repr(text + "\"'")[1:-4].replace("\\'", "'"),
    lambda text: repr(_bytes(text) + b"\"'")[2:-4],
    lambda text: repr(_bytes(text) + b"\"'")[2:-4].replace("\\'", "'"),
    lambda text: text.replace("'", "''"),
    lambda text: urllib.parse.quote(_bytes(text), safe=""),
    lambda text: urllib.parse.quote_plus(_bytes(text), safe=""),
    html.escape,
)
