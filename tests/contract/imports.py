"""What the modules of functions/ import, read from their source without running it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"


def module_name(path: Path) -> str:
    """The name by which a file of functions/ is imported."""
    parts = path.relative_to(FUNCTIONS).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(FUNCTIONS.rglob("*.py"))}
HANDLERS = [name for name, path in MODULES.items() if path.parent == FUNCTIONS]
# Beside an engine may lie what it knows of its server's users, without the driver.
ENGINES = [
    name for name, path in MODULES.items() if path.parent.name == "engines" and "\nENGINE = " in path.read_text()
]


def imports(name: str) -> set[str]:
    """The modules that a module imports when it runs; those for type checkers alone are left out."""
    return set(_imported(ast.parse(MODULES[name].read_text())))


def third_party(name: str) -> set[str]:
    """The packages that are neither ours nor the standard library's."""
    packages = {module.partition(".")[0] for module in imports(name)}
    return {package for package in packages if package != "rotation" and package not in sys.stdlib_module_names}


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
        yield from submodules or {str(node.module)}
    elif not _is_for_type_checkers(node):
        for child in ast.iter_child_nodes(node):
            yield from _imported(child)


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
