"""On what a benchmark was taken: date, machine, versions."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version

from rotatorctl.local import postgresql
from rotatorctl.local.mongo_server import PYTHON

PACKAGES = ("boto3", "pg8000", "pymysql", "pymongo", "redis")
SERVERS = {
    "PostgreSQL": [str(postgresql._binaries() / "postgres"), "--version"],
    "MariaDB": ["mariadbd", "--version"],
    "Redis": ["redis-server", "--version"],
    "SecantusDB": [str(PYTHON), "-c", "import importlib.metadata as m; print(m.version('secantusdb'))"],
}


def taken() -> dict[str, str]:
    """In words."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "other work on it at the beginning": f"{os.getloadavg()[0]:.1f} processes on average",
        "Python": f"{platform.python_version()} with {packages}",
        "servers": ", ".join(f"{name} {_version(command)}" for name, command in SERVERS.items()),
    }


def _version(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+(\.\d+)+", answer)
    return found[0] if found else "of an unknown version"
