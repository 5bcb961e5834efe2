"""How large each function's package is, zipped as `sam deploy` does it."""

import io
import zipfile
from pathlib import Path

from tests.bench.tables import Table

# Bytes.
LARGEST = 5_000_000
COLUMNS = ("function", "package in MB, zipped", "compared with: at most")


def packages(built: Path) -> dict[str, Path]:
    """The folders of the functions in the result of `sam build`; those of a nested stack lie one level deeper."""
    folders = [*built.glob("*Function"), *built.glob("*/*Function")]
    return {folder.name: folder for folder in sorted(folders, key=lambda folder: folder.name)}


def zipped(folder: Path) -> int:
    """The bytes of a folder as a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    return packed.tell()


def table(built: Path) -> Table:
    sizes = {name: zipped(folder) for name, folder in packages(built).items()}
    return Table("package", COLUMNS, [[name, round(size / 1e6, 2), LARGEST / 1e6] for name, size in sizes.items()])
