"""How large each function's package is, zipped."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from tests.bench.tables import Table
from tests.templates import Loader

# Bytes.
LARGEST = 5_000_000
COLUMNS = ("function", "package in MB, zipped", "compared with: at most")


def packages(built: Path) -> Mapping[str, Path]:
    """The zip of each function, by the built template there and those of its nested stacks."""
    return dict(sorted(found for template in built.rglob("template.yaml") for found in _of(template)))


def _of(template: Path) -> Iterator[tuple[str, Path]]:
    for name, resource in yaml.load(template.read_text(), Loader)["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            yield name, template.parent / resource["Properties"]["CodeUri"]


def table(built: Path) -> Table:
    sizes = {name: path.stat().st_size for name, path in packages(built).items()}
    return Table("package", COLUMNS, [[name, round(size / 1e6, 2), LARGEST / 1e6] for name, size in sizes.items()])
