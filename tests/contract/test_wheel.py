"""What `pipx install .` installs: everything that the tool imports, and nothing that needs a checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content. It is built from a copy, because building writes beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, folder)
    for package in ("rotatorctl", "functions"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", "made", "."], cwd=folder, check=True)
    (wheel,) = (folder / "made").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def run(installed: Path, *arguments: str) -> str:
    command, environment = [sys.executable, *arguments], {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=installed.parent, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


# What the installed command runs.
_ENTRY = [sys.executable, "-c", "from rotatorctl.__main__ import main; main()"]


def imported(installed: Path, *modules: str) -> set[str]:
    """The packages that these modules bring with them, beside the standard library."""
    listing = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(run(installed, "-c", listing).split()) - sys.stdlib_module_names


def test_it_runs_without_a_checkout(installed: Path) -> None:
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")

    assert "rotatorctl = rotatorctl.__main__:main" in entry_points.read_text()
    assert "Usage: rotatorctl [OPTIONS] COMMAND" in run(installed, "-m", "rotatorctl", "--help")


def test_it_imports_only_what_it_declares_to_need(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    declared = re.findall(r"(?m)^Requires-Dist: ([\w.-]+)", metadata.read_text())

    assert sorted(declared) == ["PyYAML", "boto3", "click", "rich"]
    modules = [package.removeprefix("Py").lower() for package in declared]
    assert imported(installed, "rotatorctl.cli") - imported(installed, *modules) == {
        "rotatorctl",
        "rotation",
    }


def test_the_offline_stack_stays_in_the_checkout(installed: Path) -> None:
    assert not (installed / "rotatorctl" / "local").exists()


def test_the_commands_of_the_offline_stack_say_that_they_need_a_checkout(installed: Path) -> None:
    command = [sys.executable, "-m", "rotatorctl", "local", "up"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd="/", env=environment, check=False, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.startswith("CheckoutNeededError: ")
    assert "Next: run it from a checkout: `make setup`" in done.stderr


def test_every_package_of_the_tool_is_in_it(installed: Path) -> None:
    ours = {path.parent.relative_to(ROOT) for path in (ROOT / "rotatorctl").rglob("__init__.py")}
    packed = {path.parent.relative_to(installed) for path in (installed / "rotatorctl").rglob("__init__.py")}

    assert packed == ours - {Path("rotatorctl/local")}


def test_a_shell_completes_its_commands(installed: Path) -> None:
    words = {"_ROTATORCTL_COMPLETE": "bash_complete", "COMP_WORDS": "rotatorctl ", "COMP_CWORD": "1"}
    environment = {**os.environ, "PYTHONPATH": str(installed), **words}
    done = subprocess.run(_ENTRY, env=environment, check=True, capture_output=True, text=True)

    assert {"plain,rotate", "plain,status", "plain,history", "plain,doctor"} <= set(done.stdout.split())


def test_ctrl_c_while_the_modules_are_read_shows_no_traceback(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{installed}"}
    done = subprocess.run(_ENTRY, cwd="/", env=environment, check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Aborted!\n")
