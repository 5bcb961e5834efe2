"""What runs of the local stack, as `rotatorctl local up` writes it down. No value of a secret is in it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

# Seconds after which a process that was asked to end is killed. The stack ends its emulator and its server before.
_END_SECONDS = 45
_LOOK_SECONDS = 0.05
_PROC = Path("/proc")
# PostgreSQL waits for its sessions after SIGTERM, and cuts them after SIGINT:
# https://www.postgresql.org/docs/17/server-shutdown.html
_ENDED_BY = {"postgresql": signal.SIGINT}


def run_folder() -> Path:
    """Where it is written: $XDG_STATE_HOME/rotatorctl, else ~/.local/state/rotatorctl, which is made.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    folder = _file().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def log_file() -> Path:
    return run_folder() / "local.log"


@dataclass(frozen=True)
class Process:
    """A process that leads its group. `born` tells it from a later one that got its number."""

    name: str
    pid: int
    born: str

    @classmethod
    def of(cls, name: str, pid: int) -> Self:
        return cls(name, pid, _born(pid))

    @property
    def runs(self) -> bool:
        return bool(self.born) and _born(self.pid) == self.born

    def end(self) -> None:
        """Ask its group to end, kill it if it does not. Nothing happens if another process has its number by now."""
        for by in (_ENDED_BY.get(self.name, signal.SIGTERM), signal.SIGKILL):
            deadline = time.monotonic() + _END_SECONDS
            with suppress(ProcessLookupError):
                if self.runs:
                    os.killpg(self.pid, by)
            while self.runs and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)


def _born(pid: int) -> str:
    """When that process began; empty if there is none, or if it has ended and only its parent has not looked."""
    return _born_by_proc(pid) if (_PROC / "self" / "stat").exists() else _born_by_ps(pid)


def _born_by_proc(pid: int) -> str:
    """The boot, and the clock ticks between it and the start: fields 3 and 22 of proc_pid_stat(5)."""
    try:
        state, *rest = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    boot = (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    return "" if state in "ZX" else f"{boot} {rest[18]}"


def _born_by_ps(pid: int) -> str:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )
    state, _, began = asked.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()


@dataclass(frozen=True)
class Running:
    """The first process is the stack's own, which holds the others, and the model of Secrets Manager."""

    checkout: str
    # All data; it is gone when the stack is down.
    folder: str
    processes: tuple[Process, ...]
    ready: bool = False
    # For the AWS CLI and other SDKs.
    environment: Mapping[str, str] = field(default_factory=dict)
    database_port: int = 0
    ca_pem: str = ""
    mail_folder: str = ""
    # Under rotation, and not yet.
    secret: str = ""
    waiting_secret: str = ""

    @classmethod
    def read(cls) -> "Running | None":
        """None if nothing is written down."""
        try:
            written: dict[str, Any] = json.loads(_file().read_text())
        except FileNotFoundError:
            return None
        processes = tuple(Process(each["name"], each["pid"], each["born"]) for each in written["processes"])
        # Another release may have written other fields; what it runs can be told and ended all the same.
        known = {each.name: written[each.name] for each in fields(cls) if each.name in written}
        return cls(**{**known, "processes": processes})

    @staticmethod
    def forget() -> None:
        _file().unlink(missing_ok=True)

    def save(self) -> Self:
        """Write it down whole or not at all, for nobody else to read."""
        new = run_folder() / "local.new"
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(json.dumps(asdict(self), indent=2))
        new.replace(_file())
        return self

    def but(self, **changed: Any) -> Self:
        return replace(self, **changed)

    def holding(self, name: str, pid: int) -> Self:
        return replace(self, processes=(*self.processes, Process.of(name, pid)))

    @property
    def ended(self) -> list[str]:
        """What has ended by itself."""
        return [process.name for process in self.processes if not process.runs]

    @property
    def is_up(self) -> bool:
        return self.ready and not self.ended

    @property
    def endpoints(self) -> dict[str, str]:
        return {
            "aws": self.environment.get("AWS_ENDPOINT_URL", ""),
            "secretsmanager": self.environment.get("AWS_ENDPOINT_URL_SECRETS_MANAGER", ""),
            "postgresql": f"127.0.0.1:{self.database_port}",
        }

    @property
    def data(self) -> dict[str, Any]:
        """For `--output json`."""
        return {
            "ready": self.ready,
            "checkout": self.checkout,
            "folder": self.folder,
            "processes": [{"name": each.name, "pid": each.pid, "runs": each.runs} for each in self.processes],
            "endpoints": self.endpoints,
            "environment": dict(self.environment),
            "secret": self.secret,
            "waitingSecret": self.waiting_secret,
        }


def _file() -> Path:
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".local" / "state") / "rotatorctl" / "local.json"
