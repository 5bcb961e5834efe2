"""`rotatorctl local` as a person runs it: each command a process, on the stack that `local up` left behind."""

import json
import os
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pg8000.native
import pytest

from rotatorctl.local.running import Process
from tests.integration.command import Ran
from tests.integration.conftest import until

pytestmark = pytest.mark.xdist_group("local stack")

ROOT = Path(__file__).parents[2]
(COMMANDS,) = re.findall(r"<!-- commands: local -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
SET_UP, *LINES, DOWN = COMMANDS.splitlines()
SECRET, WAITING = "shop/orders-db", "shop/ledger-db"


def ended(process: "subprocess.Popen[str]") -> Ran:
    """Building and deploying take as long as the machine's other work lets them."""
    out, err = process.communicate(timeout=600)
    return Ran(process.returncode, out, err)


@dataclass(frozen=True)
class Home:
    """Of a person whose own AWS settings lead elsewhere."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{ROOT / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "AWS_PROFILE": "production",
            "AWS_REGION": "eu-central-1",
        }

    @property
    def written(self) -> Any:
        file = self.folder / "state" / "rotatorctl" / "local.json"
        return json.loads(file.read_text()) if file.exists() else None

    @property
    def processes(self) -> dict[str, Process]:
        return {each["name"]: Process(**each) for each in (self.written or {"processes": []})["processes"]}

    def started(self, *command: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return subprocess.Popen(
            command, env=self.environment, cwd="/", text=True, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )

    def run(self, *command: str) -> Ran:
        return ended(self.started(*command))

    def local(self, *arguments: str) -> Ran:
        return self.run("rotatorctl", "local", *arguments, "--output", "json")

    def shell(self, line: str) -> Ran:
        """In a shell of the person's, after the README's line that sets the variables."""
        return self.run("bash", "-c", f"set -e; {LINES[0]}; {line}")

    def client(self, service: Any) -> Any:
        settings = self.written["environment"]
        key = "AWS_ENDPOINT_URL_SECRETS_MANAGER" if service == "secretsmanager" else "AWS_ENDPOINT_URL"
        return boto3.client(
            service,
            endpoint_url=settings[key],
            region_name=settings["AWS_REGION"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        )

    def password(self, secret: str = SECRET) -> str:
        value = self.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
        return str(json.loads(value)["password"])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    if home.written:  # by a test that failed
        home.local("down")


def nothing_is_left(written: Any) -> bool:
    """Of what was written down: no process, and no folder."""
    return not any(Process(**each).runs for each in written["processes"]) and not Path(written["folder"]).exists()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("person"))
    ran = home.local("up")
    assert (ran.code, ran.codes, ran.data["already"]) == (0, [], False)
    written, passwords = home.written, {home.password()}
    yield home
    passwords |= {home.password()}
    log = (home.folder / "state" / "rotatorctl" / "local.log").read_text()
    down = home.local("down")
    assert sorted(down.data["ended"]) == ["emulator", "postgresql", "stack"]
    assert nothing_is_left(written)
    assert not any(password in log for password in passwords)


def test_the_lines_of_the_readme_rotate_a_real_password_and_onboard_the_other_secret(up: Home) -> None:
    before, waiting = up.password(), up.password(WAITING)

    ran = up.shell("; ".join(LINES[1:]))

    assert (SET_UP.partition(" ")[0], DOWN) == ("make", "rotatorctl local down")
    assert ran.code == 0
    assert f"{SECRET}: rotated (" in ran.out
    assert up.password() != before
    assert "Recovered" in ran.out
    assert f"{WAITING}: attached, and AWSCURRENT logged in from the functions" in ran.out
    assert f"{WAITING}: rotated (" in ran.out
    assert up.password(WAITING) != waiting
    for password in (before, up.password(), waiting, up.password(WAITING)):
        assert password not in ran.out + ran.err


def test_up_again_says_so_and_prints_the_same_lines_for_a_shell(up: Home) -> None:
    before = up.written

    text, data = up.run("rotatorctl", "local", "up"), up.local("up").data

    assert (text.code, data["already"]) == (0, True)
    assert up.written == before
    assert text.out.splitlines()[1:] == [f"export {name}={value}" for name, value in data["environment"].items()]
    assert all(line.startswith(("export ", "unset ")) for line in text.out.splitlines())
    assert "not under rotation" not in text.err


def test_what_is_written_down_holds_no_value_and_nobody_else_reads_it(up: Home) -> None:
    file = up.folder / "state" / "rotatorctl" / "local.json"

    assert up.password() not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_another_shell_is_told_how_to_use_the_stack_that_is_up_and_one_of_its_own_is_not(up: Home) -> None:
    elsewhere = up.run("rotatorctl", "status")
    its_own = up.shell("rotatorctl status --stack nowhere || true")

    assert elsewhere.code == 1
    assert elsewhere.err.startswith("CredentialsError: ")
    assert (
        'the local stack, which is up, set its variables in this shell: eval "$(rotatorctl local up)"' in elsewhere.err
    )
    assert "StackNotFoundError: " in its_own.err
    assert "which is up" not in its_own.err


def test_status_shows_processes_addresses_and_the_secret(up: Home) -> None:
    ran = up.local("status")

    assert (ran.code, ran.data["stackStatus"]) == (0, "CREATE_COMPLETE")
    assert {each["name"]: each["runs"] for each in ran.data["processes"]} == {
        "stack": True,
        "postgresql": True,
        "emulator": True,
    }
    assert ran.data["endpoints"]["aws"].startswith("http://127.0.0.1:")
    assert SECRET in [each["secret"] for each in ran.data["secrets"]]
    assert (ran.data["secret"], ran.data["waitingSecret"]) == (SECRET, WAITING)


def test_a_drill_before_there_is_a_new_value_shows_that_nothing_changed(up: Home) -> None:
    before = up.password()

    ran = up.local("drill", "--step", "CreateSecret")

    assert (ran.code, ran.codes) == (0, [])
    assert ran.data["outcomes"] == ["untouched", "rotated"]
    assert all(each["held"] for each in ran.data["promises"])
    assert [len(subjects) for subjects in ran.data["messages"].values()] == [1, 1]
    assert up.password() != before


def changes_its_password(home: Home, old: str, new: str) -> None:
    server = {"host": "127.0.0.1", "port": home.written["database_port"], "database": "postgres"}
    context = ssl.create_default_context(cadata=home.written["ca_pem"])
    with pg8000.native.Connection("orders", password=old, ssl_context=context, **server) as user:
        user.run(f"ALTER ROLE CURRENT_USER PASSWORD {pg8000.native.literal(new)}")


def test_a_drill_is_not_begun_where_what_it_shows_would_not_come_of_its_own_fault(up: Home) -> None:
    changes_its_password(up, up.password(), "by hand")

    ran = up.local("drill")

    changes_its_password(up, "by hand", up.password())
    assert (ran.code, ran.codes) == (1, ["NotReadyError"])


def test_ctrl_c_in_a_drill_takes_the_fault_away_and_says_what_goes_on(up: Home) -> None:
    process = up.started("rotatorctl", "local", "drill", "--step", "TestSecret", "--output", "json")
    assert process.stderr
    until(lambda: "SetSecret" in process.stderr.readline())
    process.send_signal(signal.SIGINT)
    ran = ended(process)

    assert (ran.code, ran.codes) == (1, ["StillRunningError"])
    assert "Traceback" not in ran.err
    functions = up.client("lambda").list_functions()["Functions"]
    (name,) = [each["FunctionName"] for each in functions if "TestSecret" in each["FunctionName"]]
    assert "ReservedConcurrentExecutions" not in up.client("lambda").get_function_concurrency(FunctionName=name)
    assert up.shell(f"rotatorctl rotate {SECRET} || rotatorctl rotate {SECRET}").code == 0


def test_ctrl_c_while_it_starts_takes_everything_down(home: Home) -> None:
    process = home.started("rotatorctl", "local", "up", "--output", "json")
    until(lambda: "postgresql" in home.processes)
    written = home.written
    process.send_signal(signal.SIGINT)
    ran = ended(process)

    assert (ran.code, ran.codes) == (1, ["StoppedError"])
    assert nothing_is_left(written)
    assert home.local("status").codes == ["NotUpError"]


def test_a_stack_that_is_killed_leaves_nothing_that_runs_and_nothing_on_the_disk(home: Home) -> None:
    process = home.started("rotatorctl", "local", "up", "--output", "json")
    until(lambda: "postgresql" in home.processes)
    written = home.written
    os.kill(home.processes["stack"].pid, signal.SIGKILL)
    ran = ended(process)

    assert (ran.code, ran.codes) == (1, ["LocalStackError"])
    assert nothing_is_left(written)


def write_down(home: Home, *processes: dict[str, Any], **more: Any) -> Path:
    folder = home.folder / "data"
    folder.mkdir()
    state = home.folder / "state" / "rotatorctl"
    state.mkdir(parents=True)
    written = {"checkout": str(ROOT), "folder": str(folder), "processes": processes, "ready": True, **more}
    (state / "local.json").write_text(json.dumps(written))
    return folder


@pytest.fixture
def sleeper() -> Iterator[Process]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as running:
        yield Process.of("stack", running.pid)
        running.kill()


def test_down_ends_what_was_started_and_no_other_process_that_got_its_number(home: Home, sleeper: Process) -> None:
    folder = write_down(home, {"name": "stack", "pid": sleeper.pid, "born": "another boot 1"})

    ran = home.local("down")

    assert (ran.code, ran.data["ended"]) == (0, [])
    assert sleeper.runs
    assert not folder.exists()


def test_what_has_ended_by_itself_is_told_and_down_takes_the_rest(home: Home, sleeper: Process) -> None:
    gone = {"name": "postgresql", "pid": sleeper.pid, "born": "another boot 1"}
    folder = write_down(home, {"name": "stack", "pid": sleeper.pid, "born": sleeper.born}, gone)

    told, tried, ran = home.local("status"), home.local("drill"), home.local("down")

    assert told.code == tried.code == 1
    assert told.codes == tried.codes == ["LocalStackBrokenError"]
    assert (ran.code, ran.data["ended"]) == (0, ["stack"])
    assert not sleeper.runs
    assert not folder.exists()


def test_where_nothing_is_up_down_is_fine_and_the_others_say_how_to_start(home: Home) -> None:
    down, status, drill = home.local("down"), home.local("status"), home.run("rotatorctl", "local", "drill")

    assert "local stack" not in home.run("rotatorctl", "status").err
    assert (down.code, down.data["ended"]) == (0, [])
    assert (status.code, status.codes) == (1, ["NotUpError"])
    assert (drill.code, drill.err.splitlines()[-2:]) == (
        1,
        ["NotUpError: no local stack is up", "Next: `rotatorctl local up` starts it"],
    )


def test_what_another_release_has_started_is_ended_too(home: Home, sleeper: Process) -> None:
    started = {"name": "stack", "pid": sleeper.pid, "born": sleeper.born, "of another release": 1}
    write_down(home, started, redis_port=1)

    ran = home.local("down")

    assert (ran.code, ran.data["ended"]) == (0, ["stack"])
    assert not sleeper.runs
