"""A second user of MySQL or MariaDB that is like the first one in everything but name and password. No driver."""

from collections.abc import Iterable

from rotation.engines.base import somebody_elses
from rotation.engines.mysql_grants import Right, attributes, granting, identifier, literal, revoking, rights
from rotation.engines.mysql_users import Account, Server, accounts, existing, identified, judged, named
from rotation.errors import InvalidSecretError, RightsDifferError
from rotation.model import Credentials

_LIMITS = "max_questions, max_updates, max_connections, max_user_connections"
_ATTRIBUTES = f"ssl_type, CAST(ssl_cipher AS CHAR), CAST(x509_issuer AS CHAR), CAST(x509_subject AS CHAR), {_LIMITS}"


def clone(server: Server, source: Credentials, target: Credentials, *, known: bool) -> None:
    """Give `target` an account beside each of `source`, equal but for the name, and then its password.

    Accounts that `source` does not have are never dropped, because they may own views and routines, nor left, because
    they would keep another password: then nothing is changed.
    """
    hosts = {account.host: account for account in accounts(server, target.username)}
    originals = existing(server, source)
    _refuse_strangers(source, target, hosts.values(), {account.host for account in originals}, known)
    twins = {original: Account(target.username, original.host) for original in originals}
    for original, twin in twins.items():
        if original.host not in hosts:
            # Not locked: it has no rights yet, and a log-in proves to the next call that this one made it.
            _identify(server, f"CREATE USER IF NOT EXISTS {twin}", target, _attributes(server, original))
        _equalize(server, original, twin)
    for original, twin in twins.items():
        # An account that the administrator has locked has a locked twin.
        lock = "LOCK" if original.is_locked else "UNLOCK"
        _identify(server, f"ALTER USER {twin}", target, f"{_attributes(server, original)} ACCOUNT {lock}")


def _refuse_strangers(
    source: Credentials, target: Credentials, found: Iterable[Account], hosts: set[str], known: bool
) -> None:
    # One that has the new password was made by an earlier call that stopped half-way.
    if not known and not all(account.takes(target.password) for account in found):
        raise InvalidSecretError(somebody_elses(target.username))
    for account in found:
        account.check()
    if strangers := {account.host for account in found} - hosts:
        raise RightsDifferError(
            f"{target} also logs in from {sorted(strangers)}, from where {source.username!r} does not: "
            "drop those accounts, or create the same ones for the other user"
        )


def _identify(server: Server, verb: str, target: Credentials, clauses: str) -> None:
    judged(server, lambda words: f"{verb} {identified(server, [target.password], words)} {clauses}")


def _attributes(server: Server, account: Account) -> str:
    columns = f"{_ATTRIBUTES}, max_statement_time" if server.is_mariadb else _ATTRIBUTES
    where = f"{named(account.user)} AND Host = {literal(account.host)}"
    [row] = server.run(f"SELECT {columns} FROM mysql.user WHERE {where}")
    return attributes(row)


def _equalize(server: Server, original: Account, twin: Account) -> None:
    """What is missing is granted before anything is taken away, and again after it: ALL PRIVILEGES swallow others."""
    wanted, to = _rights_of(server, original), "FOR" if server.is_mariadb else "TO"
    for _ in range(2):
        for statement in granting(wanted - _rights_of(server, twin), str(twin), to):
            server.run(statement)
        for statement in revoking(_rights_of(server, twin) - wanted, str(twin), to):
            server.run(statement)
    if differing := wanted ^ _rights_of(server, twin):
        raise RightsDifferError(f"{twin} and {original} still differ in: {'; '.join(sorted(map(str, differing)))}")


def _rights_of(server: Server, account: Account) -> frozenset[Right]:
    """MySQL's default roles are not among its grants (not run against a server)."""
    stated = rights(line for (line, *_) in server.run(f"SHOW GRANTS FOR {account}"))
    if server.is_mariadb:
        return stated
    default = server.run(
        "SELECT default_role_user, default_role_host FROM mysql.default_roles "
        f"WHERE {named(account.user)} AND Host = {literal(account.host)}"
    )
    roles = ", ".join(sorted(f"{identifier(user)}@{identifier(host)}" for user, host in default))
    return stated | ({Right("DEFAULT ROLE", roles)} if roles else set())


def own_rights(server: Server) -> frozenset[Right]:
    """What the session's user may do, by itself and by the roles that are active from the start.

    MariaDB states those of the active role with the user's own; MySQL has to be asked (not run against a server).
    """
    if server.is_mariadb:
        return rights(line for (line, *_) in server.run("SHOW GRANTS"))
    [[active]] = server.run("SELECT CURRENT_ROLE()")
    using = "" if active == "NONE" else f" USING {active}"
    stated = rights(line for (line, *_) in server.run(f"SHOW GRANTS FOR CURRENT_USER(){using}"))
    return stated | ({Right("DEFAULT ROLE", active)} if using else set())
