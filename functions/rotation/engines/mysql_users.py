"""The users of MySQL and MariaDB: who exists, and the statements that change them. No driver.

A user's name may stand for several accounts, one for each host that it logs in from. Two accounts of one name are two
users for the server; for a rotation they are one, with one password.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rotation.engines.mysql_grants import QUOTED, literal
from rotation.errors import InvalidSecretError, PasswordRejectedError, RightsDifferError, UnavailableError
from rotation.model import Credentials

_NATIVE = "mysql_native_password"

type _Words = Callable[[str], str]


class Server(Protocol):
    """A session of one who may look at other users, or of the user itself."""

    @property
    def is_mariadb(self) -> bool: ...

    def run(self, statement: str) -> Sequence[Sequence[Any]]:
        """The rows of the answer. Raises this package's errors, and the driver's for what has no meaning here."""
        ...


@dataclass(frozen=True)
class Account:
    """One row of the server's users, and on MariaDB its ways to log in: plug-in and stored password."""

    user: str
    host: str
    methods: tuple[tuple[str, str], ...] = ()
    is_locked: bool = False

    def __str__(self) -> str:
        return f"{literal(self.user)}@{literal(self.host)}"

    def takes(self, password: str) -> bool:
        """Whether MariaDB lets in with this password at this moment."""
        return (_NATIVE, hashed(password)) in self.methods

    def takes_only(self, passwords: Sequence[str]) -> bool:
        return set(self.methods) == {(_NATIVE, hashed(password)) for password in passwords}

    def check(self) -> None:
        """Raises InvalidSecretError if a new password would take away another way to log in."""
        for plugin, _ in self.methods:
            if plugin != _NATIVE:
                raise InvalidSecretError(f"{self} logs in by {plugin}; this rotator changes {_NATIVE} only")


def hashed(password: str) -> str:
    """What mysql_native_password stores. Source: https://mariadb.com/kb/en/authentication-plugin-mysql_native_password"""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()


@contextmanager
def locked(server: Server, seconds: int, *names: str) -> Iterator[None]:
    """No other call of this engine changes these users meanwhile. The server unlocks when the session ends.

    Raises UnavailableError if another call holds one of them too long for a statement of so many seconds.
    """
    for name in sorted(names):
        lock = "rotation " + hashlib.sha256(name.encode()).hexdigest()[:32]
        [[taken]] = server.run(f"SELECT GET_LOCK('{lock}', {max(seconds - 1, 0)})")
        if not taken:
            raise UnavailableError(f"another call changes user {name!r} at this moment")
    yield


def accounts(server: Server, user: str) -> list[Account]:
    """The accounts of this name. Source: https://mariadb.com/kb/en/mysqlglobal_priv-table"""
    if not server.is_mariadb:
        rows = server.run(f"SELECT Host, account_locked FROM mysql.user WHERE {named(user)}")
        return [Account(user, host, is_locked=locked == "Y") for host, locked in rows]
    rows = server.run(f"SELECT Host, Priv FROM mysql.global_priv WHERE {named(user)}")
    found = [(host, json.loads(stored)) for host, stored in rows]
    return [
        Account(user, host, _methods(stored), bool(stored.get("account_locked")))
        for host, stored in found
        if not stored.get("is_role")
    ]


def named(user: str) -> str:
    """Byte by byte: the tables' own comparison ignores spaces at the end of a name."""
    return f"CAST(User AS BINARY) = CAST({literal(user)} AS BINARY)"


def _methods(stored: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """An empty object in `auth_or` stands for the method that is stored outside of it."""
    methods = [method or stored for method in stored.get("auth_or", [stored])]
    return tuple((method.get("plugin") or _NATIVE, method.get("authentication_string", "")) for method in methods)


def set_own_password(server: Server, target: Credentials) -> None:
    """On MariaDB, as the user itself.

    SET PASSWORD changes one way to log in and leaves the others, and may do so and answer with an error all the same,
    so where there are several nothing is changed.
    """
    [[created]] = server.run("SHOW CREATE USER")
    if " OR " in re.sub(QUOTED, "", created):
        raise RightsDifferError(
            f"{target} has a second password or another second way to log in, and on MariaDB only an administrator can "
            "take it away: rotate it with an admin secret, or give it one password by ALTER USER"
        )
    judged(server, lambda words: f"SET PASSWORD = {words(target.password)}")


def set_every_password(server: Server, target: Credentials, keep: Credentials | None = None) -> None:
    """Change all accounts of this name. The password of `keep` stays where it is one of the account's own now."""
    found = existing(server, target)
    _refuse_others(found, target)
    wanted = {account: _passwords(account, target, keep) for account in found}
    try:
        judged(server, lambda words: _alter(server, wanted, words))
    except PasswordRejectedError:
        # A policy may refuse a password that is set a second time, and the one to keep.
        if all(account.takes_only(passwords) for account, passwords in wanted.items()):
            return
        alone = {account: [target.password] for account in found}
        if wanted == alone:
            raise
        judged(server, lambda words: _alter(server, alone, words))


def _refuse_others(found: Sequence[Account], target: Credentials) -> None:
    """Accounts of one name with different passwords may be different people's: one was proven, the others were not."""
    stored = {account.methods for account in found if not account.takes(target.password)}
    if len(stored) > 1:
        raise InvalidSecretError(
            f"{', '.join(map(str, found))} have different passwords, so they may be different people's: give them the "
            "same one, or change this one without an admin secret"
        )


def discard_second_passwords(server: Server, user: str) -> None:
    """MySQL only, not run against a server: take away what RETAIN CURRENT PASSWORD has kept.

    Source: https://dev.mysql.com/doc/refman/8.0/en/password-management.html#dual-passwords
    """
    discards = (f"{account} DISCARD OLD PASSWORD" for account in accounts(server, user))
    server.run(f"ALTER USER {', '.join(discards)}")


def existing(server: Server, user: Credentials) -> list[Account]:
    found = accounts(server, user.username)
    if not found:
        raise InvalidSecretError(f"{user} does not exist")
    return found


def _passwords(account: Account, target: Credentials, keep: Credentials | None) -> list[str]:
    """A password to keep is never added: if it is not the account's any more, it was refused before and stays so."""
    account.check()
    if keep and keep.username == target.username and keep.password != target.password and account.takes(keep.password):
        return [target.password, keep.password]
    return [target.password]


def _alter(server: Server, wanted: Mapping[Account, Sequence[str]], words: _Words) -> str:
    parts = (f"{account} {identified(server, passwords, words)}" for account, passwords in wanted.items())
    return f"ALTER USER {', '.join(parts)}"


def identified(server: Server, passwords: Sequence[str], words: _Words) -> str:
    if not server.is_mariadb:
        return f"IDENTIFIED BY {literal(passwords[0])}"
    # A plug-in against re-use remembers what it has let pass: the one to keep first, or it would burn the new one.
    ordered = reversed(passwords) if words is _in_clear else passwords
    return "IDENTIFIED VIA " + " OR ".join(f"{_NATIVE} USING {words(password)}" for password in ordered)


def judged(server: Server, statement: Callable[[_Words], str]) -> None:
    """Send hashes; in the clear only if a validation plug-in wants to judge the password itself."""
    try:
        server.run(statement(_as_hash))
    except PasswordRejectedError:
        server.run(statement(_in_clear))


def _as_hash(password: str) -> str:
    return literal(hashed(password))


def _in_clear(password: str) -> str:
    return f"PASSWORD({literal(password)})"
