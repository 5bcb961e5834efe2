"""A build is used again for the same sources and no others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rotatorctl.local import build


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("functions/rotation/model.py", "functions/requirements.txt", "statemachine/rotation.asl.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first")
    for name in ("template.yaml", "monitoring.yaml"):
        (tmp_path / name).write_text("first")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        lambda project: (project / "functions/rotation/model.py").write_text("other"),
        lambda project: (project / "functions/rotation/model.py").rename(project / "functions/rotation/models.py"),
        lambda project: (project / "functions/rotation/new.py").touch(),
        lambda project: (project / "functions/requirements.txt").unlink(),
        lambda project: (project / "statemachine/rotation.asl.json").write_text("other"),
        lambda project: (project / "template.yaml").write_text("other"),
        lambda project: (project / "monitoring.yaml").write_text("other"),
    ],
    ids=["changed", "renamed", "added", "removed", "state machine", "template", "nested template"],
)
def test_what_a_build_is_made_of_makes_another_one(project: Path, change: Callable[[Path], object]) -> None:
    before = build._digest()

    change(project)

    assert build._digest() != before


@pytest.mark.parametrize(("edited", "builds"), [(False, 1), (True, 2)])
def test_a_build_is_used_again_unless_something_was_edited_while_it_was_made(
    project: Path, monkeypatch: pytest.MonkeyPatch, edited: bool, builds: int
) -> None:
    source, made = project / "functions/rotation/model.py", []

    def building(template: Path, log: Path) -> None:
        made.append(template)
        source.write_text("edited" if edited else "first")

    monkeypatch.setattr(build, "_SAM", project / ".aws-sam")
    monkeypatch.setattr(build, "_build", building)
    monkeypatch.setattr(build, "_pack", lambda result: result.mkdir(parents=True))

    for _ in range(2):
        assert build._of_these_sources(project / "build.log").is_dir()
        source.write_text("first")

    assert len(made) == builds


def test_what_python_keeps_beside_its_modules_makes_no_other_build(project: Path) -> None:
    before = build._digest()

    (project / "functions/rotation/__pycache__").mkdir()
    (project / "functions/rotation/__pycache__/model.cpython-313.pyc").touch()

    assert build._digest() == before
