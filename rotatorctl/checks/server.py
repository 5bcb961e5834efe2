"""What only the service itself can tell, and no function reports: the commands that show it, to be run by a person."""

import re
import shlex
from collections.abc import Iterator

from rotation.errors import InvalidSecretError
from rotation.model import Credentials
from rotation.outcome import ROTATED
from rotation.secret import Secret
from rotatorctl.aws import AWS_ERRORS
from rotatorctl.checks.base import NOTE, UNCHECKED, WAITS, Check, Examined, Finding, day

# By engine, what an administrator of the service asks it. Settings of plug-ins exist only where those are installed.
POLICY = {
    "postgres": (
        "SELECT name, setting FROM pg_settings WHERE name = 'password_encryption' "
        "OR name ~ '^(passwordcheck|credcheck|auth_delay|rds[.](accepted|restrict)_password)'; "
        "SELECT rolvaliduntil, rolconnlimit FROM pg_roles WHERE rolname = {user}"
    ),
    "mysql": (
        "SHOW GLOBAL VARIABLES WHERE Variable_name REGEXP '^(validate_password|password_|default_password_lifetime|"
        "connection_control|simple_password_check|cracklib_password_check|strict_password|max_password_errors|"
        "max_connect_errors)'; SELECT * FROM information_schema.plugins WHERE plugin_type = 'PASSWORD VALIDATION'"
    ),
}
RIGHTS = {
    "postgres": (
        "SELECT a.rolname, a.rolsuper, a.rolcreaterole, m.admin_option FROM pg_roles a "
        "LEFT JOIN pg_auth_members m ON m.member = a.oid "
        "AND m.roleid = (SELECT oid FROM pg_roles WHERE rolname = {user}) WHERE a.rolname = current_user"
    ),
    "mysql": "SHOW GRANTS",
    "mongo": "db.runCommand({connectionStatus: 1, showPrivileges: true})",
    "redis": "ACL GETUSER ADMIN",
}
# Neither documents a rule for passwords, or one that locks a user out:
# https://www.mongodb.com/docs/manual/core/authentication/
# https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
WITHOUT_POLICY = ("mongo", "redis")
_PROGRAMS = {
    "postgres": "psql -h {host} -p {port} -U ADMIN -d {dbname} -c {text}",
    "mysql": "mysql -h {host} -P {port} -u ADMIN -p -e {text}",
    "mongo": "mongosh {tls}{hosts} -u ADMIN --eval {text}",
    "redis": "redis-cli -h {host} -p {port} {tls}--user ADMIN --askpass {text}",
}
_PORT = re.compile(r":\d+$")


def asked(engine: str, text: str, user: Credentials) -> str:
    """The command that asks the service; a person puts the administrator's name into it."""
    if engine != "redis":
        text = shlex.quote(text.replace("{user}", literal(user.username)))
    words = {"host": user.host, "port": str(user.port), "dbname": user.dbname, "hosts": _hosts(user)}
    quoted = {name: shlex.quote(word) for name, word in words.items()}
    return _PROGRAMS[engine].format(text=text, tls="--tls " if user.ssl else "", **quoted)


def _hosts(user: Credentials) -> str:
    """MongoDB's connection string: the one way to name several hosts, each with its own port or the secret's.

    https://www.mongodb.com/docs/manual/reference/connection-string/
    """
    alone = user.host.count(":") > 1 and not {",", "["} & set(user.host)
    names = [f"[{user.host}]"] if alone else user.host.split(",")
    listed = ",".join(name if _PORT.search(name) else f"{name}:{user.port}" for name in names)
    return f"mongodb://{listed}/" + (f"?replicaSet={user.replica_set}" if user.replica_set else "")


def literal(name: str) -> str:
    """A text in SQL's quotes."""
    return "'" + name.replace("'", "''") + "'"


def _service(examined: Examined) -> Iterator[Finding]:
    try:
        value = examined.value if examined.is_readable else None
    except (InvalidSecretError, *AWS_ERRORS):
        value = None
    if value is None:
        yield Finding(UNCHECKED, WAITS, "what only the service itself can tell", "see the check value")
    elif value.traits.has_server:
        yield _policy(value)
        yield _same_user(value)
        if value.admin_arn:
            yield _admin_rights(examined, value)


def _policy(value: Secret) -> Finding:
    engine = value.traits.module
    if engine in WITHOUT_POLICY:
        what = f"{engine} itself has no rule for passwords and locks no user out; a service around it may"
        return Finding(NOTE, "NoServerPolicy", what)
    return Finding(
        UNCHECKED,
        "ServerPolicyNotChecked",
        "the service's rules for passwords and for locking users out",
        "no function reads them; a rotation that meets them is taken back (PasswordRejectedError, LoginRefusedError)",
        asked_for_its_rules(value),
    )


def asked_for_its_rules(value: Secret) -> str:
    """The command that asks the value's service for its rules for passwords. Raises KeyError where it has none."""
    engine = value.traits.module
    return asked(engine, POLICY[engine], value.credentials)


def _admin_rights(examined: Examined, value: Secret) -> Finding:
    proof = next((run for run in examined.runs if run.outcome == ROTATED), None)
    if proof:
        return Finding(
            NOTE,
            "AdminRightsProven",
            f"the admin had the rights that it needs on {day(proof.started)}, when it changed the password",
            "a right that was taken since shows at the next rotation",
        )
    engine = value.traits.module
    return Finding(
        UNCHECKED,
        "AdminRightsNotChecked",
        "the rights of the admin on the service",
        "the log-in test tries the user alone; docs/engines.md#least-rights has what the admin needs, and a rotation "
        "without it is taken back with RightsDifferError",
        asked(engine, RIGHTS[engine], value.credentials),
    )


def _same_user(value: Secret) -> Finding:
    return Finding(
        UNCHECKED,
        "SameUserNotChecked",
        f"whether another secret holds {value.credentials}, too",
        "each of two that rotate one user takes the other's password away; the values of other secrets are not read "
        "here: the command lists those under rotation",
        "aws secretsmanager list-secrets --query 'SecretList[?RotationEnabled].[Name,RotationLambdaARN]'",
    )


CHECKS = (Check("service", "no server knows the value", _service),)
