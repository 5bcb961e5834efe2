"""Real servers on the loopback interface, without Docker: what all of them share."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

HOST = "127.0.0.1"
_START_SECONDS = 30
_STOP_SECONDS = 20


class ServerStartError(Exception):
    """A server ended or stayed silent instead of accepting log-ins; the message ends with its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A new folder that is gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Account:
    """Whose processes the servers are: PostgreSQL refuses to run as root, so root hands it to `nobody`."""

    user: int | None
    group: int | None

    @classmethod
    def for_servers(cls) -> Self:
        if os.geteuid() != 0:
            return cls(None, None)
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def own(self, path: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def file(self, path: Path, text: str) -> Path:
        """A new file with this text that nobody else can read."""
        path.touch(mode=0o600)
        path.write_text(text)
        self.own(path)
        return path

    def runnable(self, binaries: Path, copy: Path) -> Path:
        """The folder of binaries, or that of a copy if this account may not read the original."""
        try:
            self.run([binaries / "postgres", "--version"])
        except PermissionError:
            shutil.copytree(binaries.parent, copy)
            return copy / binaries.name
        return binaries

    def run(self, *command: Sequence[str | Path]) -> None:
        """Run to the end; raises ServerStartError with what the command wrote."""
        process = self.started([part for parts in command for part in parts], subprocess.PIPE)
        output, _ = process.communicate()
        if process.returncode:
            raise ServerStartError(output.decode(errors="replace"))

    def started(
        self, command: Sequence[str | Path], output: Any, standard_input: Any = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=standard_input,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
            # Ctrl-C in the terminal is for the program that started the server; it then stops the server in order.
            start_new_session=True,
        )


@dataclass
class ServerProcess:
    """A server's process and its log."""

    account: Account
    log_file: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, command: Sequence[str | Path], ready: Callable[[str], bool], told: Path | None = None) -> None:
        """Start it; returns when `ready` says so of what it has logged since. `told` is its standard input.

        Not asked by a log-in: the certificate may be one that no client trusts. Raises ServerStartError.
        """
        before = len(self.log())
        with self.log_file.open("ab") as log, (told or Path(os.devnull)).open("rb") as standard_input:
            self._process = self.account.started(command, log, standard_input)
        deadline = time.monotonic() + _START_SECONDS
        while not ready(self.log()[before:]):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerStartError(self.log())
            time.sleep(0.01)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """An outage: sessions are cut, the port refuses. Nothing happens if it is stopped."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(by)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running process."""
        assert self._process
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """The number of the running process."""
        assert self._process
        return self._process.pid

    def log(self) -> str:
        """What the process has written so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
