"""Secret values seen by this process, so that no text that leaves it can carry one.

A driver's error text may quote a statement or a connection string. Every value is remembered where it is read or made,
and the boundary passes each text through `redacted`.
"""

import base64
import json
from urllib.parse import quote, quote_plus

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
    encoded = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()
    escaped = json.dumps(value)[1:-1]
    return {
        value,
        encoded.rstrip("="),
        escaped,
        json.dumps(escaped)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        value.replace("'", "''"),
        quote(value, safe="", errors="surrogatepass"),
        quote_plus(value, safe="", errors="surrogatepass"),
    }
