"""Imports go one way, what is outside the project is reached from one place each, and everything stays small."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from tests.contract.imports import ENGINES, FUNCTIONS, HANDLERS, MODULES, imports, third_party

# A module imports from layers below its own, never from its own or from above. The first pattern that fits counts.
LAYERS = (
    ("rotation", "rotation.strategies"),
    ("rotation.errors", "rotation.redaction"),
    ("rotation.model", "rotation.aws", "rotation.call", "rotation.passwords", "rotation.throttling", "rotation.tls"),
    ("rotation.settings", "rotation.secret_fields", "rotation.rds"),
    ("rotation.outcome", "rotation.secret", "rotation.secret_store", "rotation.executions", "rotation.topic"),
    ("rotation.engines.base", "rotation.engines.postgres_verifiers", "rotation.engines.mysql_grants"),
    ("rotation.engines.postgres_roles",),
    ("rotation.engines.mysql_users",),
    ("rotation.engines.mysql_clone",),
    (
        "rotation.alert",
        "rotation.labels",
        "rotation.metrics",
        "rotation.waiting",
        "rotation.engines",
        "rotation.strategies.base",
        "rotation.admin_secret",
        "rotation.standing",
    ),
    ("rotation.report", "rotation.engines.*", "rotation.strategies.*"),
    ("rotation.rotation", "rotation.readiness"),
    ("rotation.change",),
    ("rotation.steps", "rotation.promotion", "rotation.log_ins", "rotation.attempts", "rotation.overdue"),
    ("rotation.giving_up",),
    ("rotation.rollback", "rotation.invocation"),
    ("rotation.runtime",),
    ("rotation.step_handler",),
    ("*",),
)

# Who may reach what is outside. Whatever else is imported is an engine's driver.
OUTSIDE = {
    "boto3": {"rotation.secret_store", "rotation.executions", "rotation.rds", "rotation.topic"},
    "botocore": {"rotation.aws"},
    "aws_lambda_powertools": {"rotation.runtime", "rotation.metrics"},
}
# The Lambda runtime brings these, so they are not packaged.
OF_THE_RUNTIME = {"boto3", "botocore"}

LONGEST_HANDLER, LONGEST_MODULE, LONGEST_FUNCTION = 10, 210, 25
BRANCHES = (ast.If, ast.IfExp, ast.BoolOp, ast.For, ast.While, ast.Try, ast.Match, ast.comprehension)


def layer(name: str) -> int:
    return next(i for i, patterns in enumerate(LAYERS) if any(fnmatchcase(name, pattern) for pattern in patterns))


def functions(name: str) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def length(function: ast.FunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_the_layers_below_it(name: str) -> None:
    ours = {module for module in imports(name) if module.partition(".")[0] == "rotation"}

    assert {module for module in ours if layer(module) >= layer(name)} == set()


def test_every_module_of_the_library_has_its_layer() -> None:
    assert {name for name in MODULES if layer(name) == len(LAYERS) - 1} == set(HANDLERS)


def test_no_module_names_an_engine_that_the_registry_has_to_choose() -> None:
    assert ENGINES
    assert {name for name in MODULES if imports(name) & set(ENGINES)} == set()


@pytest.mark.parametrize("name", MODULES)
def test_deployed_code_knows_nothing_of_the_tool_and_the_tests(name: str) -> None:
    assert third_party(name) & {"rotatorctl", "tests"} == set()


@pytest.mark.parametrize("package", OUTSIDE)
def test_aws_is_reached_from_few_modules(package: str) -> None:
    assert {name for name in MODULES if package in third_party(name)} == OUTSIDE[package]


def test_a_driver_is_imported_by_exactly_one_engine() -> None:
    drivers = Counter(package for name in MODULES for package in third_party(name) - set(OUTSIDE))
    of_engines = {package for name in ENGINES for package in third_party(name)}

    assert drivers
    assert set(drivers) == of_engines
    assert set(drivers.values()) == {1}


def test_what_is_imported_is_packaged() -> None:
    locked = re.findall(r"(?m)^([\w.-]+)==", (FUNCTIONS / "requirements.txt").read_text())
    needed = {package for name in MODULES for package in third_party(name)} - OF_THE_RUNTIME

    assert needed <= {name.lower().replace("-", "_") for name in locked}


def test_beside_the_handlers_lies_nothing_that_shadows_the_standard_library() -> None:
    assert not {path.stem for path in FUNCTIONS.iterdir()} & sys.stdlib_module_names


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_is_a_few_lines_without_a_branch(name: str) -> None:
    text = MODULES[name].read_text()
    nodes = list(ast.walk(ast.parse(text)))

    assert len(text.splitlines()) <= LONGEST_HANDLER
    assert not [node for node in nodes if isinstance(node, (*BRANCHES, ast.FunctionDef, ast.Lambda))]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_and_its_functions_stay_small_enough_to_read(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= LONGEST_MODULE
    assert {
        function.name: length(function) for function in functions(name) if length(function) > LONGEST_FUNCTION
    } == {}
