"""What is installed anywhere is locked, by hashes, and nothing in a lock says where it came from."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
LOCKS = dict(re.findall(r"\$\(LOCK\) \$\(UPGRADE\) -o (\S+) (\S+)", MAKEFILE))


def entries(lock: str) -> list[str]:
    """Each package with all that belongs to it, on one line."""
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.strip().startswith("#")]


def test_every_list_of_packages_has_its_lock_and_make_lock_renews_it() -> None:
    assert {ROOT / name for name in LOCKS.values()} == set((ROOT / "requirements").glob("*.in"))
    assert {ROOT / name for name in LOCKS} == {
        *(ROOT / "requirements").glob("*.txt"),
        ROOT / "functions/requirements.txt",
    }


def test_every_environment_is_installed_from_a_lock_by_its_hashes() -> None:
    installed = re.findall(r"(?m)^(\S+)/\.installed: (\S+)\n\t\$\(call install,\1,\$<\)$", MAKEFILE)

    assert {lock for _, lock in installed} == LOCKS.keys() - {"functions/requirements.txt"}
    assert MAKEFILE.count("pip install") == MAKEFILE.count("--require-hashes") == 1


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_one_version_with_its_hashes(lock: str) -> None:
    wrong = [
        line for line in entries(lock) if not re.fullmatch(r"[\w.-]+==\S+( ;.*?)?( +--hash=sha256:[0-9a-f]{64})+", line)
    ]

    assert entries(lock)
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index(lock: str) -> None:
    assert not re.search(r"https?://|--(extra-)?index|--find-links|--trusted", (ROOT / lock).read_text())


@pytest.mark.parametrize("name", ["template.yaml", "monitoring.yaml"])
def test_whatever_the_scanner_is_told_to_skip_has_its_reason_beside_the_resource(name: str) -> None:
    text = (ROOT / name).read_text()
    skipped = re.findall(r"checkov:skip=(\w+):(\S.+)$", text, re.MULTILINE)

    assert len(skipped) == text.count("checkov:skip")
    assert "--skip-check" not in MAKEFILE
    assert not list(ROOT.glob(".checkov*"))
