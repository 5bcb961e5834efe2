"""`local up`, `down` and `status`: the offline stack as processes that outlive the command."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rotatorctl.aws import Aws
from rotatorctl.commands.status import status as list_secrets
from rotatorctl.deployed import Stack
from rotatorctl.local import emulator
from rotatorctl.local.detached import detached
from rotatorctl.local.exports import exports, names
from rotatorctl.local.running import Process, Running, log_file, run_folder
from rotatorctl.local.signals import sigterm_unwinds, undisturbed
from rotatorctl.local.stack import STACK_NAME
from rotatorctl.progress import deaf_to_ctrl_c
from rotatorctl.result import CommandError, Problem, Result, Table

UP = "`rotatorctl local up` starts it"

type Say = Callable[[str], None]


def up(say: Say) -> Result:
    """Start it, unless it is up. Raises CommandError with everything taken down again."""
    with _alone():
        found = Running.read()
        if found and found.is_up:
            _require_this_checkout(found)
        elif found:
            say("taking down what is left of a stack that is not up any more")
            with undisturbed():
                _take_down(found)
        already = found is not None and found.is_up
        running = found if found and already else _started(say)
    say(f"{'already up' if already else 'up'}: the secret {running.secret} under rotation, on a PostgreSQL")
    if not already:
        say(f"{running.waiting_secret} is not under rotation yet: rotatorctl onboard {running.waiting_secret}")
    say('to set its variables in a shell: eval "$(rotatorctl local up)"')
    return Result("local up", running.data | {"already": already}, tuple(exports(running.environment)))


def down() -> Result:
    """End what `up` has started, and nothing else."""
    with _alone(), undisturbed():
        found = Running.read()
        if found is None:
            return Result("local down", {"ended": []}, ("nothing is up",))
        ended = [process.name for process in found.processes if process.runs]
        _take_down(found)
    if Path(found.folder).exists():
        raise CommandError("FolderLeftError", f"{found.folder} could not be removed", f"rm -r {found.folder}")
    words = f"down: {', '.join(ended) or 'no process ran any more'}; removed {found.folder}"
    shells = [f"in its shells: unset {' '.join(found.environment)}"] if found.environment else []
    return Result("local down", {"ended": ended, "folder": found.folder}, (words, *shells))


def status() -> Result:
    """What runs and where, and how the stack's secrets stand."""
    running = up_or_not()
    rows = tuple((each.name, str(each.pid), "runs" if each.runs else "has ended") for each in running.processes)
    shown: tuple[str | Table, ...] = (Table(("process", "pid", "state"), rows), *_places(running))
    if running.ended:
        return Result("local status", running.data, shown, (_broken(running),))
    if not running.ready:
        return Result("local status", running.data, (*shown, "it is starting"), fine=False)
    aws = aws_of(running)
    stack = aws.stacks.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    listed = list_secrets(Stack.find(aws, STACK_NAME))
    data = running.data | {"stackStatus": stack["StackStatus"], "secrets": listed.data["secrets"]}
    return Result("local status", data, (*shown, f"stack {STACK_NAME}: {stack['StackStatus']}", *listed.shown))


def up_or_not() -> Running:
    """What is written down. Raises CommandError if nothing is."""
    if (running := Running.read()) is None:
        raise CommandError("NotUpError", "no local stack is up", UP)
    return running


def really_up() -> Running:
    """A stack that can be asked. Raises CommandError if there is none."""
    running = up_or_not()
    if running.ended:
        problem = _broken(running)
        raise CommandError(problem.code, problem.message, problem.next_step)
    if not running.ready:
        raise CommandError("NotUpError", "the local stack is still starting", "`rotatorctl local status` shows it")
    return running


def aws_of(running: Running) -> Aws:
    """The local stack's AWS, whatever settings this process was started with: it has no others from now on."""
    for name in names(os.environ):
        del os.environ[name]
    os.environ.update(running.environment)
    return Aws()


def _broken(running: Running) -> Problem:
    return Problem(
        "LocalStackBrokenError",
        f"of the local stack this has ended by itself: {', '.join(running.ended)}",
        f"`rotatorctl local up` takes the rest down and starts it anew; {log_file()} may tell why",
    )


def _places(running: Running) -> list[str]:
    return [f"{name}: {place}" for name, place in running.endpoints.items()] if running.ready else []


def _require_this_checkout(found: Running) -> None:
    if found.checkout != str(emulator.ROOT):
        raise CommandError(
            "OtherCheckoutError",
            f"the local stack that is up is that of the checkout {found.checkout}",
            "`rotatorctl local down` ends it; with another XDG_STATE_HOME both can be up",
        )


@contextmanager
def _alone() -> Iterator[None]:
    """One command at a time starts or ends the stack. Raises CommandError."""
    with (run_folder() / "local.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                "BusyError", "another `rotatorctl local up` or `down` is at work", "repeat it when that has ended"
            ) from None
        yield


def _started(say: Say) -> Running:
    """Start the process that holds all others; it has ended, and they with it, if this raises."""
    _require_set_up()
    with log_file().open("wb") as errors, sigterm_unwinds():
        log_file().chmod(0o600)
        stack = detached(["rotatorctl.local.background"], errors, _environment())
        try:
            assert stack.stdout
            for line in stack.stdout:
                say(line.decode().strip())
            running = Running.read()
            if running is None or not running.is_up:
                raise _failed()
            # What is up stays up, and is told.
            deaf_to_ctrl_c()
        except BaseException as stop:
            with undisturbed():
                _end(stack)
            if isinstance(stop, KeyboardInterrupt):
                raise CommandError("StoppedError", "you stopped it; what had started was taken down", UP) from None
            raise
    return running


def _end(stack: "subprocess.Popen[bytes]") -> None:
    Process.of("stack", stack.pid).end()
    stack.wait()
    if left := Running.read():
        _take_down(left)


def _take_down(running: Running) -> None:
    for process in running.processes:
        process.end()
    shutil.rmtree(running.folder, ignore_errors=True)
    Running.forget()


def _failed() -> CommandError:
    lines = [line for line in log_file().read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else "it was killed"
    return CommandError(
        "LocalStackError",
        f"the local stack did not start, and what had started was taken down: {last}",
        f"{log_file()} has all that was said; mend it and repeat `rotatorctl local up`",
    )


def _require_set_up() -> None:
    missing = [path for path in (emulator.PYTHON, Path(sys.executable).with_name("sam")) if not path.exists()]
    if missing:
        raise CommandError(
            "CheckoutNeededError",
            f"{missing[0]} is not there: the local stack runs from a checkout that was set up",
            f"make -C {emulator.ROOT} setup, and {emulator.ROOT}/bin/rotatorctl local up",
        )


def _environment() -> dict[str, str]:
    """The user's own without any setting of AWS's, and with the paths on which this process found its modules."""
    kept = {name: value for name, value in os.environ.items() if name not in names(os.environ)}
    return kept | {"PYTHONPATH": os.pathsep.join(str(emulator.ROOT / folder) for folder in ("functions", ""))}
