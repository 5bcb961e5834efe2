"""Two PostgreSQL roles that take turns with the same rights: how the one is made equal to the other.

One of the two is the base: it owns what the application makes, and holds what it was granted. The other is a member of
it and acts as it from the first moment of each session (ALTER ROLE ... SET role). So the two are equal by construction:
whatever is granted, revoked or created under either counts for both at once, default privileges and ownership included.
The session's own settings and limits are not inherited, so they are copied.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

type Run = Callable[..., Any]

# A setting that is a list of identifiers, which must be quoted one by one (GUC_LIST_QUOTE in src/backend/utils/misc).
_LISTS = {"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"}
_ITEM = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')

_EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = :role"
_IS_MEMBER = """
    SELECT 1 FROM pg_auth_members
    WHERE pg_get_userbyid(roleid) = :base AND pg_get_userbyid(member) = :member"""
_ACTS_AS = """
    SELECT 1 FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole
    WHERE rolname = :member AND setdatabase = 0 AND ('role=' || :base) = ANY (setconfig)"""
_OWNS = """
    SELECT 1 FROM pg_shdepend
    WHERE refclassid = CAST('pg_authid' AS regclass) AND pg_get_userbyid(refobjid) = :role AND deptype = 'o'
      AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) LIMIT 1"""
_SETTINGS = """
    SELECT coalesce((SELECT datname FROM pg_database WHERE oid = setdatabase), ''), unnest(setconfig)
    FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole WHERE rolname = :role ORDER BY 1, 2"""
_LIMITS = """
    SELECT rolconnlimit, coalesce(CAST(rolvaliduntil AS text), 'infinity'), rolreplication
    FROM pg_roles WHERE rolname = :role"""
# The server writes each statement itself, with every name quoted.
_GRANTS = """
    SELECT format('GRANT %s ON %s TO %I%s', privilege_type, target, CAST(:to AS text),
                  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM (
        SELECT relacl, format('%s %s', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, CAST(oid AS regclass))
        FROM pg_class
      UNION ALL SELECT nspacl, format('SCHEMA %I', nspname) FROM pg_namespace
      UNION ALL SELECT datacl, format('DATABASE %I', datname) FROM pg_database
      UNION ALL SELECT proacl, format('ROUTINE %s', CAST(oid AS regprocedure)) FROM pg_proc
    ) AS objects (acl, target), aclexplode(acl)
    WHERE pg_get_userbyid(grantee) = :of
  UNION ALL
    SELECT format('GRANT %s (%I) ON TABLE %s TO %I%s', privilege_type, attname, CAST(attrelid AS regclass),
                  CAST(:to AS text), CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_attribute, aclexplode(attacl) WHERE pg_get_userbyid(grantee) = :of
  UNION ALL
    SELECT format('GRANT %I TO %I', pg_get_userbyid(roleid), CAST(:to AS text))
    FROM pg_auth_members WHERE pg_get_userbyid(member) = :of AND pg_get_userbyid(roleid) <> :to"""

# What the session's user may do, by whatever way: names are always qualified, so that two users' answers compare.
RIGHTS = """
    WITH held AS (
        SELECT classid, objid, objsubid, bool_or(deptype = 'o') AS owned FROM pg_shdepend
        WHERE refclassid = CAST('pg_authid' AS regclass) AND deptype IN ('o', 'a', 'r')
          AND pg_has_role(refobjid, 'USAGE')
          AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        GROUP BY classid, objid, objsubid
    ), named AS (SELECT *, (pg_identify_object(classid, objid, objsubid)).* FROM held)
    SELECT format('%s on %s %s', privilege, type, identity)
    FROM named JOIN pg_class ON pg_class.oid = objid,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
    WHERE classid = CAST('pg_class' AS regclass) AND objsubid = 0 AND relkind <> 'S'
      AND has_table_privilege(objid, privilege)
  UNION SELECT format('rights on %s %s', type, identity) FROM named
    WHERE NOT owned AND (classid <> CAST('pg_class' AS regclass) OR objsubid <> 0)
  UNION SELECT format('ownership of %s %s', type, identity) FROM named WHERE owned
  UNION SELECT attribute FROM pg_roles, LATERAL (VALUES
        (rolsuper, 'SUPERUSER'), (rolcreatedb, 'CREATEDB'), (rolcreaterole, 'CREATEROLE'),
        (rolbypassrls, 'BYPASSRLS')) AS attributes (has, attribute)
    WHERE rolname = current_user AND has"""


def make_equal(run: Run, source: str, clone: str, quoted: Callable[[str], str], literal: Callable[[str], str]) -> None:
    """In the transaction of `run`, give role `clone` what `source` has; it is made if it does not exist."""
    run("SELECT pg_advisory_xact_lock(hashtext(:pair))", pair=" ".join(sorted((source, clone))))
    if not run(_EXISTS, role=clone):
        run(f"CREATE ROLE {quoted(clone)}")
    run(f"ALTER ROLE {quoted(clone)} LOGIN {_limits(run, source)}")
    if run(_IS_MEMBER, base=clone, member=source):
        _take_over(run, source, clone, quoted)
    else:
        _act_as(run, source, clone, quoted)
    for statement in _settings(run, source, clone, quoted, literal):
        run(statement)


def _act_as(run: Run, base: str, member: str, quoted: Callable[[str], str]) -> None:
    """From its next session on the member acts as the base. What it had made as itself goes to the base."""
    run(f"GRANT {quoted(base)} TO {quoted(member)}")
    if run(_OWNS, role=member):
        run(f"REASSIGN OWNED BY {quoted(member)} TO {quoted(base)}")


def _take_over(run: Run, member: str, base: str, quoted: Callable[[str], str]) -> None:
    """AWS's own rotation makes members that act as themselves; they own what was made under them. The member keeps all
    that as a member of the base.
    """
    if run(_ACTS_AS, member=member, base=base):
        return
    if run(_OWNS, role=member):
        run(f"REASSIGN OWNED BY {quoted(member)} TO {quoted(base)}")
    for [statement] in run(_GRANTS, of=member, to=base):
        run(statement)


def _limits(run: Run, source: str) -> str:
    [[connections, until, replication]] = run(_LIMITS, role=source)
    return f"CONNECTION LIMIT {int(connections)} VALID UNTIL '{until}'" + (" REPLICATION" if replication else "")


def _settings(
    run: Run, source: str, clone: str, quoted: Callable[[str], str], literal: Callable[[str], str]
) -> Iterator[str]:
    base = clone if run(_IS_MEMBER, base=clone, member=source) else source
    wanted, found = run(_SETTINGS, role=source), run(_SETTINGS, role=clone)
    if base == source:
        yield f"ALTER ROLE {quoted(clone)} SET role = {literal(source)}"
    for database, setting in found:
        if [database, setting] not in wanted and not setting.startswith("role="):
            yield f"{_alter(clone, database, quoted)} RESET {quoted(setting.partition('=')[0])}"
    for database, setting in wanted:
        name, _, value = setting.partition("=")
        if [database, setting] not in found and name != "role":
            items = [quotes.replace('""', '"') or bare for quotes, bare in _ITEM.findall(value)]
            values = ", ".join(literal(item) for item in (items if name in _LISTS else [value]))
            yield f"{_alter(clone, database, quoted)} SET {quoted(name)} = {values}"


def _alter(role: str, database: str, quoted: Callable[[str], str]) -> str:
    return f"ALTER ROLE {quoted(role)}" + (f" IN DATABASE {quoted(database)}" if database else "")
