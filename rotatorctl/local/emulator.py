"""A local AWS emulator (ministack) in a process of its own, without the user's AWS settings."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rotatorctl.local.servers import HOST, ServerStartError, free_port

ROOT = Path(__file__).parents[2]
ACCOUNT = "123456789012"
REGION = "us-east-1"
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
_START_SECONDS = 60
_STOP_SECONDS = 10


@contextmanager
def emulator(work_dir: Path, environment: Mapping[str, str], wait_scale: float) -> Iterator[tuple[int, str]]:
    """Run it until the block ends; yields its process's number and its endpoint's URL.

    Its log is `emulator.log`, its mail lies in `mail`. The functions that it runs inherit `environment`. `wait_scale`
    multiplies the seconds of Wait states and of the delays before a retry. Raises ServerStartError.
    """
    port = free_port()
    url = f"http://{HOST}:{port}"
    for folder in ("tmp", "mail"):
        (work_dir / folder).mkdir()
    settings = {
        **environment,
        "AWS_ENDPOINT_URL": url,
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "SFN_WAIT_SCALE": str(wait_scale),
        # Every function is confined to its role's policies.
        "AUTH": "true",
        "LOG_LEVEL": "INFO",
        "TMPDIR": str(work_dir / "tmp"),
        "OFFLINE_MAIL_FOLDER": str(work_dir / "mail"),
        # These two would listen on every interface, and it would clear away containers that it takes for its own.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{work_dir}/no-docker",
    }
    log = work_dir / "emulator.log"
    with _running(settings, log) as process:
        _await_health(process, url, log)
        yield process.pid, url


@contextmanager
def _running(settings: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    if not PYTHON.exists():
        raise ServerStartError(f"{PYTHON} does not exist; run `make setup`.")
    with log.open("wb") as output:
        process = subprocess.Popen(
            # -P: the modules beside the script are not for the emulator to import.
            [PYTHON, "-P", Path(__file__).with_name("emulator_process.py")],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_health(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_healthy(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerStartError(log.read_text(errors="replace"))
        time.sleep(0.05)


def _is_healthy(url: str) -> bool:
    # No proxy: one that is set for the outside world does not know this machine's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/_ministack/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
