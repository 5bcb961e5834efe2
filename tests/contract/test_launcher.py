"""`bin/rotatorctl`, the tool of a checkout, and what its offline stack needs."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_is_found_through_a_link_in_any_folder(tmp_path: Path) -> None:
    link = tmp_path / "rotatorctl"
    link.symlink_to(ROOT / "bin" / "rotatorctl")

    done = subprocess.run([link, "--help"], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert done.stdout.startswith("Usage: rotatorctl")


def test_the_demo_installs_nothing_that_it_does_not_start() -> None:
    wanted = subprocess.run(
        ["make", "--dry-run", "--what-if=requirements/mongo.txt", "--what-if=requirements/emulator.txt", "demo"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert ".venv-emulator" in wanted
    assert ".venv-mongo" not in wanted
