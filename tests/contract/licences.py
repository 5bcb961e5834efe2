"""docs/licences.md: the licences of what is deployed beside this project's own code, in the packages' own words.

`python -m tests.contract.licences` writes the page from the metadata of the installed packages, after a new lock.
"""

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "functions" / "requirements.txt"
PAGE = ROOT / "docs" / "licences.md"
_TABLE = re.compile(r"(?<=\| package \| version \| licence \| its text \|\n\|---\|---\|---\|---\|\n)(\|.*\n)*")


def table() -> str:
    """A row for each package of the functions' lock. Raises AssertionError if another version of one is installed."""
    locked = re.findall(r"(?m)^([\w.-]+)==(\S+)", LOCK.read_text())
    rows = []
    for name, version in locked:
        package = distribution(name)
        assert package.version == version, f"{name} {package.version} is installed, {version} is locked"
        rows.append(f"| `{name}` | {version} | {licence(package)} | {texts(package)} |\n")
    return "".join(rows)


def licence(package: Distribution) -> str:
    """The SPDX expression, else what the older fields say."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith("License :: ")]
    named = ", ".join(each.rpartition(" :: ")[2] for each in classifiers)
    return f"{metadata.get('License')} ({named})"


def texts(package: Distribution) -> str:
    """Where the licence lies in the deployed package."""
    found = [
        str(file) for file in package.files or [] if re.match("licen[cs]e|notice|copying|third", file.name.lower())
    ]
    return ", ".join(f"`{file}`" for file in sorted(found)) or "none in the wheel"


def page() -> str:
    return _TABLE.sub(lambda _: table(), PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
