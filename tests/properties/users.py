"""All that a server keeps of its users, by their names: what a rotation must leave as it is for everybody else."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from rotatorctl.local.mongo_server import DATABASE
from tests.contract.mongo_world import MongoWorld
from tests.contract.mysql_world import MySQLWorld
from tests.contract.redis_world import RedisWorld
from tests.contract.worlds import PostgresWorld, World

type Users = dict[str, list[str]]


_ROLES = (("pg_authid", "oid"), ("pg_auth_members", "member"), ("pg_db_role_setting", "setrole"))


def _postgres(world: PostgresWorld) -> Iterable[tuple[str, Any]]:
    rows = (f"SELECT pg_get_userbyid({role}), to_jsonb(kept) FROM {table} AS kept" for table, role in _ROLES)
    return map(tuple, world.sql(" UNION ALL ".join(rows)))


def _mysql(world: MySQLWorld) -> Iterable[tuple[str, Any]]:
    for table in ("global_priv", "db", "tables_priv", "roles_mapping"):
        yield from ((row[0], row) for row in world.sql(f"SELECT User, kept.* FROM mysql.{table} AS kept"))


def _mongo(world: MongoWorld) -> Iterable[tuple[str, Any]]:
    for database in ("admin", DATABASE):
        found = world.run(database, usersInfo=1, showCredentials=True, showAuthenticationRestrictions=True)["users"]
        yield from ((user["user"], sorted(user.items())) for user in found)


def _redis(world: RedisWorld) -> Iterable[tuple[str, Any]]:
    return ((line.split(b" ")[1].decode(), line) for line in world.asked("ACL", "LIST"))


_ROWS: dict[str, Callable[[Any], Iterable[tuple[str, Any]]]] = {
    "postgres": _postgres,
    "mariadb": _mysql,
    "mongo": _mongo,
    "redis": _redis,
}


def users(kind: str, world: World) -> Users:
    """Every user of the server with the rows in which the server keeps it: password, rights, settings."""
    found: Users = defaultdict(list)
    for name, row in _ROWS[kind](world):
        found[name].append(repr(row))
    return {name: sorted(rows) for name, rows in found.items()}
