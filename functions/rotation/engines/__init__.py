"""The engines by the name that AWS's secrets use in `engine`. Only the chosen engine's driver is loaded."""

from importlib import import_module
from typing import cast

from rotation.engines.base import Engine
from rotation.secret import EngineTraits

POSTGRES = EngineTraits("postgres", default_port=5432, default_dbname="postgres", alternates=True, longest_name=63)
MONGO = EngineTraits(
    "mongo",
    default_port=27017,
    default_dbname="admin",
    alternates=True,
    users_in_databases=True,
    many_hosts=True,
)
# Of the 16 databases of a Redis the first, in which a session begins.
REDIS = EngineTraits("redis", default_port=6379, default_dbname="0", holds_two=True)
MYSQL = EngineTraits("mysql", default_port=3306, alternates=True)

ENGINES = {
    "postgres": POSTGRES,
    "aurora-postgresql": POSTGRES,
    "mysql": MYSQL,
    "mariadb": MYSQL,
    "aurora-mysql": MYSQL,
    "mongo": MONGO,
    "redis": REDIS,
    "valkey": REDIS,
    "generic": EngineTraits("generic", default_port=0),
}


def load(traits: EngineTraits, *, retain: bool = False) -> Engine:
    """The engine, ready to use; `retain` as in engines.base."""
    module = import_module(f"rotation.engines.{traits.module}")
    return cast(Engine, module.ENGINE(retain=retain))
