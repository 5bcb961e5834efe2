"""docs/licences.md lists what is deployed: every package of the functions' lock, and every file that is not ours."""

import re

import pytest

from tests.contract import licences

PAGE = licences.PAGE.read_text()
ROWS = re.findall(r"(?m)^\| `[\w-]+` \|.*", PAGE)


def test_the_page_lists_the_packages_of_the_lock_with_their_licences() -> None:
    """After a new lock: python -m tests.contract.licences."""
    assert licences.page() == PAGE
    assert len(ROWS) == licences.LOCK.read_text().count("==") > 0


@pytest.mark.parametrize("row", ROWS)
def test_every_package_states_a_licence_that_lets_it_be_deployed_with_this_one(row: str) -> None:
    """Another one is to be read by a person before it is added here."""
    licence = row.split("|")[3]

    assert re.search(r"\b(MIT|MIT-0|BSD|ISC|Apache|PSF-2\.0)\b", licence)
    assert not re.search(r"GPL|SSPL|None", licence)


def test_every_file_among_the_functions_that_is_no_code_of_ours_is_listed() -> None:
    functions = licences.ROOT / "functions"
    ours = {".py", ".md", ".txt", ".pyc"}
    others = {path.relative_to(licences.ROOT) for path in functions.rglob("*.*") if path.suffix not in ours}

    assert {str(path) for path in others} == set(re.findall(r"(?m)^\| `(functions/\S+)` \|", PAGE))
