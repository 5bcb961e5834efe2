"""`bin/rotatorctl`, the tool of a checkout."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_is_found_through_a_link_in_any_folder(tmp_path: Path) -> None:
    link = tmp_path / "rotatorctl"
    link.symlink_to(ROOT / "bin" / "rotatorctl")

    done = subprocess.run([link, "--help"], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert done.stdout.startswith("Usage: rotatorctl")
