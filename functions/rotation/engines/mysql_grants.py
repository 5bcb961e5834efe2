"""The words of MySQL and MariaDB for rights, read and written. No driver, no server.

All text is for a session with the SQL mode NO_BACKSLASH_ESCAPES, in which a backslash is an ordinary character.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rotation.errors import InvalidSecretError

QUOTED = r"(?:`(?:[^`]|``)*`|'(?:[^']|'')*')"
_GRANT = re.compile(rf"GRANT ((?:{QUOTED}|[^`'])+?)(?: ON ((?:{QUOTED}|[^`'])+?))? TO (.*)", re.DOTALL)
_DEFAULT_ROLE = re.compile(rf"SET DEFAULT ROLE ({QUOTED}) FOR .*", re.DOTALL)
_PRIVILEGE = re.compile(rf"([A-Z_]+(?: [A-Z_]+)*)(?: \(((?:{QUOTED}|, )+)\))?")
_ROLE = re.compile(rf"{QUOTED}(?:@{QUOTED})?")


class Right(NamedTuple):
    """One privilege on one object, or one role."""

    privilege: str
    on: str

    def __str__(self) -> str:
        return f"{self.privilege} {self.on}" if "ROLE" in self.privilege.split() else f"{self.privilege} ON {self.on}"


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A database's or table's name as SQL."""
    return "`" + name.replace("`", "``") + "`"


def table(name: str) -> str:
    """`database.table` or `table` as SQL."""
    return ".".join(identifier(part) for part in name.split(".", 1))


def rights(lines: Iterable[str]) -> frozenset[Right]:
    """The rights in the lines of SHOW GRANTS, whoever they are given to.

    Raises InvalidSecretError for what cannot be said again as a grant, such as MySQL's partial revokes.
    """
    return frozenset(right for line in lines for right in _rights(line) if right.privilege != "USAGE")


def _rights(line: str) -> Iterator[Right]:
    if default := _DEFAULT_ROLE.fullmatch(line):
        yield Right("DEFAULT ROLE", default[1])
        return
    grant = _GRANT.fullmatch(line)
    if grant is None:
        # Not the whole line: it may hold a hash.
        raise InvalidSecretError(f"the server states a right that this rotator cannot copy: {line[:25]!r}...")
    what, on, given = grant.groups()
    options = re.sub(QUOTED, "", given)
    if on is None:
        admin = " WITH ADMIN OPTION" if "ADMIN OPTION" in options else ""
        yield from (Right(f"ROLE{admin}", role) for role in _ROLE.findall(what))
    elif what == "PROXY":
        yield Right("PROXY WITH GRANT OPTION" if "GRANT OPTION" in options else "PROXY", on)
    else:
        yield from (Right(privilege, on) for privilege in _privileges(what))
        yield Right("GRANT OPTION" if "GRANT OPTION" in options else "USAGE", on)


def _privileges(what: str) -> Iterator[str]:
    """The privileges of a list; one for columns becomes one for each column."""
    for privilege, columns in _PRIVILEGE.findall(what):
        if columns:
            yield from (f"{privilege} ({column})" for column in re.findall(QUOTED, columns))
        else:
            yield privilege


def granting(missing: Iterable[Right], account: str, to: str) -> Iterator[str]:
    """The statements that give these rights to an account; its default role last, because it has to have the role.

    `to` is the server's preposition for a default role: FOR on MariaDB, TO on MySQL.
    """
    objects = defaultdict(list)
    for privilege, on in sorted(missing, key=lambda right: (right.privilege == "DEFAULT ROLE", right)):
        kind, _, option = privilege.partition(" WITH ")
        if kind == "DEFAULT ROLE":
            yield f"SET DEFAULT ROLE {on} {to} {account}"
        elif kind in ("ROLE", "PROXY"):
            what = on if kind == "ROLE" else f"PROXY ON {on}"
            yield f"GRANT {what} TO {account}" + (option and f" WITH {option}")
        else:
            objects[on].append(privilege)
    for on, privileges in objects.items():
        named = ", ".join(privilege for privilege in privileges if privilege != "GRANT OPTION")
        option = " WITH GRANT OPTION" if "GRANT OPTION" in privileges else ""
        yield f"GRANT {named or 'USAGE'} ON {on} TO {account}{option}"


def attributes(columns: Sequence[Any]) -> str:
    """The clauses REQUIRE and WITH for what mysql.user holds, from ssl_type to the limits."""
    kind, cipher, issuer, subject, *limits = columns
    parts = (("CIPHER", cipher), ("ISSUER", issuer), ("SUBJECT", subject))
    specified = " AND ".join(f"{word} {literal(text)}" for word, text in parts if text)
    require = {"ANY": "SSL", "X509": "X509", "SPECIFIED": specified}.get(kind, "NONE")
    words = ("MAX_QUERIES_PER_HOUR", "MAX_UPDATES_PER_HOUR", "MAX_CONNECTIONS_PER_HOUR", "MAX_USER_CONNECTIONS")
    given = zip((*words, "MAX_STATEMENT_TIME"), limits, strict=False)
    return f"REQUIRE {require} WITH " + " ".join(f"{word} {limit}" for word, limit in given)


def revoking(excess: Iterable[Right], account: str, to: str) -> Iterator[str]:
    """The statements that take these rights from an account."""
    for privilege, on in sorted(excess):
        kind = privilege.partition(" WITH ")[0]
        if kind == "DEFAULT ROLE":
            yield f"SET DEFAULT ROLE NONE {to} {account}"
        elif kind == "ROLE":
            yield f"REVOKE {on} FROM {account}"
        else:
            yield f"REVOKE {kind} ON {on} FROM {account}"
