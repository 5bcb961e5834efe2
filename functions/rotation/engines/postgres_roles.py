"""Two PostgreSQL roles that take turns with the same rights: how the one is made equal to the other.

One of the two is the base: it owns what the application makes, and holds what it was granted. The other is a member of
it and acts as it from the first moment of each session (ALTER ROLE ... SET role). So the two are equal by construction:
whatever is granted, revoked or created under either counts for both at once, default privileges and ownership included.
The session's own settings and limits are not inherited, so they are copied.
"""

from collections.abc import Callable
from typing import Any

from rotation.engines.base import somebody_elses
from rotation.errors import InvalidSecretError, RightsDifferError

type Run = Callable[..., Any]

_EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = :role"
_IS_MEMBER = """
    SELECT 1 FROM pg_auth_members
    WHERE pg_get_userbyid(roleid) = :base AND pg_get_userbyid(member) = :member"""
_ACTS_AS = """
    SELECT 1 FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole
    WHERE rolname = :member AND setdatabase = 0 AND ('role=' || :base) = ANY (setconfig)"""
_ACTS_ALIKE = """
    SELECT 1 FROM pg_db_role_setting AS own, unnest(own.setconfig) AS setting
    WHERE pg_get_userbyid(own.setrole) = :clone AND own.setdatabase = 0 AND (setting = 'role=' || :source OR (
        setting LIKE 'role=%' AND EXISTS (
            SELECT FROM pg_db_role_setting AS theirs WHERE pg_get_userbyid(theirs.setrole) = :source
              AND theirs.setdatabase = 0 AND setting = ANY (theirs.setconfig))
        AND EXISTS (SELECT FROM pg_auth_members
                    WHERE pg_get_userbyid(roleid) = :source AND pg_get_userbyid(member) = :clone)))"""
_OWNS = """
    SELECT 1 FROM pg_shdepend
    WHERE refclassid = CAST('pg_authid' AS regclass) AND pg_get_userbyid(refobjid) = :role AND deptype = 'o'
      AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) LIMIT 1"""
# The server writes each statement itself, with every name and value quoted. What the source has, the clone gets; where
# the source acts as itself, the clone acts as the source. A setting that is a list of names is quoted one by one.
_SETTINGS = """
    WITH stored AS (
        SELECT pg_get_userbyid(setrole) AS role, setdatabase,
               split_part(entry, '=', 1) AS name, substr(entry, strpos(entry, '=') + 1) AS value
        FROM pg_db_role_setting, unnest(setconfig) AS entry
    ), wanted AS (
        SELECT setdatabase, name,
               CASE WHEN name = 'role' AND value = 'none' THEN CAST(:base AS text) ELSE value END AS value
        FROM stored WHERE role = :source AND NOT (name = 'role' AND value = :clone)
      UNION ALL
        SELECT 0, 'role', CAST(:base AS text) WHERE :base = :source
          AND NOT EXISTS (SELECT FROM stored WHERE role = :source AND name = 'role' AND setdatabase = 0)
    ), found AS (SELECT setdatabase, name, value FROM stored WHERE role = :clone),
    changes AS (
        SELECT setdatabase, format(' RESET %I', name) AS change
        FROM found WHERE (setdatabase, name) NOT IN (SELECT setdatabase, name FROM wanted)
      UNION ALL
        SELECT setdatabase, format(' SET %I = %s', name, CASE
            WHEN name IN ('local_preload_libraries', 'search_path', 'session_preload_libraries', 'temp_tablespaces')
            THEN coalesce((
                SELECT string_agg(quote_literal(coalesce(replace(item[1], '""', '"'), lower(item[3]))), ', ')
                FROM regexp_matches(value, '"(([^"]|"")*)"|([^ ,"]+)', 'g') AS items (item)), quote_literal(''))
            ELSE quote_literal(value) END)
        FROM (SELECT * FROM wanted EXCEPT SELECT * FROM found) AS differing
    )
    SELECT format('ALTER ROLE %I', CAST(:clone AS text))
           || coalesce((SELECT format(' IN DATABASE %I', datname) FROM pg_database WHERE oid = setdatabase), '')
           || change
    FROM changes ORDER BY change"""
_LIMITS = """
    SELECT format('ALTER ROLE %I LOGIN CONNECTION LIMIT %s VALID UNTIL %L%s', clone.rolname, source.rolconnlimit,
                  coalesce(source.rolvaliduntil, 'infinity'), CASE WHEN source.rolreplication = clone.rolreplication
                  THEN '' WHEN source.rolreplication THEN ' REPLICATION' ELSE ' NOREPLICATION' END)
    FROM pg_roles AS source, pg_roles AS clone WHERE source.rolname = :source AND clone.rolname = :clone"""
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
    FROM pg_auth_members WHERE pg_get_userbyid(member) = :of AND pg_get_userbyid(roleid) <> :to
  UNION ALL
    SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON %s TO %s%s', CAST(:to AS text),
                  (SELECT format(' IN SCHEMA %I', nspname) FROM pg_namespace WHERE oid = defaclnamespace),
                  privilege_type, CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                  WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END,
                  CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_default_acl, aclexplode(defaclacl) WHERE pg_get_userbyid(defaclrole) = :of AND grantee <> defaclrole"""

# What the session's user may do, by whatever way: names are always qualified, so that two users' answers compare.
RIGHTS = """
    WITH held AS (
        SELECT classid, objid, objsubid, bool_or(deptype = 'o') AS owned FROM pg_shdepend
        WHERE refclassid = CAST('pg_authid' AS regclass) AND deptype IN ('o', 'a', 'r')
          AND pg_has_role(refobjid, 'USAGE') AND classid <> CAST('pg_default_acl' AS regclass)
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


def make_equal(run: Run, source: str, clone: str, quoted: Callable[[str], str], *, known: bool) -> None:
    """In the transaction of `run`, give role `clone` what `source` has; it is made if it does not exist.

    Raises InvalidSecretError if it exists and is not the secret's own. It shows that by having been granted to
    `source`, or by acting as it or as the same role: only who has power over a role can do that to it. A member that
    acts as itself, as AWS's own rotation makes it, has to be `known`.
    """
    run("SELECT pg_advisory_xact_lock(hashtext(:pair))", pair=" ".join(sorted((source, clone))))
    is_base = is_member(run, source, of=clone)
    if not run(_EXISTS, role=clone):
        run(f"CREATE ROLE {quoted(clone)}")
    elif not (is_base or run(_ACTS_ALIKE, clone=clone, source=source) or (known and is_member(run, clone, of=source))):
        raise InvalidSecretError(somebody_elses(clone))
    [[limits]] = run(_LIMITS, source=source, clone=clone)
    run(limits)
    if is_base:
        _take_over(run, source, clone, quoted)
    else:
        _act_as(run, source, clone, quoted)
    for [statement] in run(_SETTINGS, source=source, clone=clone, base=clone if is_base else source):
        run(statement)


def is_member(run: Run, member: str, of: str) -> bool:
    return bool(run(_IS_MEMBER, base=of, member=member))


def _act_as(run: Run, base: str, member: str, quoted: Callable[[str], str]) -> None:
    """From its next session on the member acts as the base. What it had made as itself goes to the base."""
    run(f"GRANT {quoted(base)} TO {quoted(member)}")
    if run(_OWNS, role=member):
        run(f"REASSIGN OWNED BY {quoted(member)} TO {quoted(base)}")


def _take_over(run: Run, member: str, base: str, quoted: Callable[[str], str]) -> None:
    """AWS's own rotation makes members that act as themselves; they own what was made under them.

    The member, who is the current user, keeps all that as a member of the base. Raises RightsDifferError if it would
    not, because it does not inherit.
    """
    if run(_ACTS_AS, member=member, base=base):
        return
    if run(_OWNS, role=member):
        if not run("SELECT 1 WHERE pg_has_role(:member, :base, 'USAGE')", member=member, base=base):
            raise RightsDifferError(
                f"{member!r} owns what {base!r} has to own, and would lose it, because it does not inherit from it: "
                f"GRANT {quoted(base)} TO {quoted(member)} WITH INHERIT TRUE, or ALTER ROLE {quoted(member)} INHERIT"
            )
        run(f"REASSIGN OWNED BY {quoted(member)} TO {quoted(base)}")
    for [statement] in run(_GRANTS, of=member, to=base):
        run(statement)
