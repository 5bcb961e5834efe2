"""Instances and clusters of RDS, Aurora and DocumentDB: where their users change, once they are there.

RDS's API tells of DocumentDB's, too:
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBClusters.html
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rotatorctl.aws import Aws
from rotatorctl.following import Progress
from rotatorctl.result import CommandError

INSTANCE, CLUSTER = "instance", "cluster"

# Seconds between two looks, until what did not change is said again, and until a database that is being made is given
# up: most take ten minutes or twenty.
_LOOK_EVERY, _SAY_AGAIN, _PATIENCE = 5.0, 60.0, 3_600.0
# "The DB instance is fully operational" while its storage is optimized, which may take longer than a day:
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html#Overview.DBInstance.Status
_USABLE = ("available", "storage-optimization")
# What no waiting ends, as it begins; the same page.
_ENDS = ("fail", "stop", "delet", "incompatible", "inaccessible", "insufficient", "restore-error", "storage-full")
# By RDS's names; DocumentDB speaks MongoDB's protocol.
_ENGINES = {
    "postgres": "postgres",
    "aurora-postgresql": "aurora-postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "aurora-mysql": "aurora-mysql",
    "docdb": "mongo",
}


@dataclass(frozen=True)
class Database:
    """What a secret says of it, by the keys of the secret's JSON."""

    engine: str
    host: str
    port: int


@dataclass(frozen=True)
class _Seen:
    """One look: what has which status, and the database once all of it is available."""

    statuses: Mapping[str, str]
    database: Database | None = None


def looked_up(
    aws: Aws, kind: str, identifier: str, progress: Progress, pause: Callable[[float], object] = time.sleep
) -> Database:
    """The writer's endpoint and the engine, once the cluster and its writer, or the instance, are available.

    Raises CommandError if there is none of that name, its engine is none that is rotated, or it does not become
    available.
    """
    look, shown, waited = _LOOKS[kind], dict[str, str](), 0.0
    while (seen := look(aws, identifier)).database is None:
        for name, status in seen.statuses.items():
            _refuse_end(name, status)
            if shown.get(name) != status or waited % _SAY_AGAIN == 0:
                progress(name, status)
        shown = dict(seen.statuses)
        if waited >= _PATIENCE:
            raise _unavailable(f"{kind} {identifier}", "not available after an hour")
        pause(_LOOK_EVERY)
        waited += _LOOK_EVERY
    return seen.database


def _cluster(aws: Aws, identifier: str) -> _Seen:
    try:
        [found] = aws.databases.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
    except aws.databases.exceptions.DBClusterNotFoundFault:
        raise _missing(aws, CLUSTER, identifier) from None
    engine = _engine(found["Engine"])
    statuses = {f"cluster {found['DBClusterIdentifier']}": found["Status"]}
    writers = [each["DBInstanceIdentifier"] for each in found["DBClusterMembers"] if each["IsClusterWriter"]]
    statuses |= _writer(aws, writers[0]) if writers else {"writer instance": "not made yet"}
    if not _all_usable(statuses) or "Endpoint" not in found:
        return _Seen(statuses)
    return _Seen(statuses, Database(engine, found["Endpoint"], found["Port"]))


def _writer(aws: Aws, identifier: str) -> dict[str, str]:
    [found] = aws.databases.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    return {f"writer instance {identifier}": found["DBInstanceStatus"]}


def _instance(aws: Aws, identifier: str) -> _Seen:
    """Of an instance of a cluster that is the cluster: another one may be the writer tomorrow."""
    try:
        [found] = aws.databases.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    except aws.databases.exceptions.DBInstanceNotFoundFault:
        raise _missing(aws, INSTANCE, identifier) from None
    if cluster := found.get("DBClusterIdentifier"):
        return _cluster(aws, cluster)
    engine = _engine(found["Engine"])
    statuses = {f"instance {found['DBInstanceIdentifier']}": found["DBInstanceStatus"]}
    if not _all_usable(statuses) or "Endpoint" not in found:
        return _Seen(statuses)
    endpoint: Mapping[str, Any] = found["Endpoint"]
    return _Seen(statuses, Database(engine, endpoint["Address"], endpoint["Port"]))


_LOOKS: Mapping[str, Callable[[Aws, str], _Seen]] = {CLUSTER: _cluster, INSTANCE: _instance}


def _all_usable(statuses: Mapping[str, str]) -> bool:
    return all(status in _USABLE for status in statuses.values())


def _engine(name: str) -> str:
    if name not in _ENGINES:
        raise CommandError(
            "EngineNotThereError",
            f"its engine is {name!r}, which this rotator does not rotate; it rotates {', '.join(_ENGINES)}",
            "docs/engines.md#not-there-yet says what rotates it",
        )
    return _ENGINES[name]


def _refuse_end(name: str, status: str) -> None:
    if status.startswith(_ENDS):
        raise _unavailable(name, status)


def _unavailable(name: str, status: str) -> CommandError:
    return CommandError(
        "DatabaseNotAvailableError",
        f"the {name} is {status}, so nobody can log in; nothing was made",
        "see its events: aws rds describe-events --duration 1440; when it is available, repeat the command",
    )


def _missing(aws: Aws, kind: str, identifier: str) -> CommandError:
    listing = {CLUSTER: "describe-db-clusters --query 'DBClusters[].DBClusterIdentifier'"}.get(
        kind, "describe-db-instances --query 'DBInstances[].DBInstanceIdentifier'"
    )
    return CommandError(
        "DatabaseNotFoundError",
        f"RDS knows no {kind} {identifier!r} in {aws.region}; nothing was made",
        f"check the name, --region and --profile; there are: aws rds {listing}",
    )
