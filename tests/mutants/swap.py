"""Put a mutant in the place of the code that runs, in this process."""

import ast
import dataclasses
import gc
import importlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from botocore.config import Config

FUNCTIONS = Path(__file__).parents[2] / "functions"
LAMBDA = "<lambda>"
# What a dataclass gets from its fields.
_GENERATED = ("__init__", "__repr__", "__eq__", "__hash__", "__dataclass_fields__", "__match_args__")


class NotInPlaceError(Exception):
    """Nothing of what runs would be different."""


def module_of(file: str) -> ModuleType:
    path = Path(file).resolve().relative_to(FUNCTIONS).with_suffix("")
    return importlib.import_module(".".join(path.parts).removesuffix(".__init__"))


def mutated(mutant: dict[str, Any]) -> str:
    lines = Path(mutant["file"]).read_text().splitlines()
    start = mutant["line"] - 1
    return "\n".join([*lines[:start], *mutant["new"], *lines[start + len(mutant["old"]) :], ""])


@cache
def existing() -> dict[str, list[FunctionType]]:
    """Every function object there is, by file. Asked before the first fork, so that no mutant has to look."""
    found: dict[str, list[FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename.startswith(str(FUNCTIONS)):
            found[each.__code__.co_filename].append(each)
    return found


def put(mutant: dict[str, Any]) -> None:
    """Raises NotInPlaceError, or whatever importing the mutated module would raise."""
    module, source = module_of(mutant["file"]), mutated(mutant)
    assert module.__file__
    code = compile(source, module.__file__, "exec")
    if mutant["function"]:
        _put_function(module, mutant["function"], code, ast.parse(source))
    elif _differ_in(LAMBDA, module, code):
        _put_function(module, LAMBDA, code, ast.parse(source))
    else:
        _put_constants(module, code)


def _differ_in(name: str, module: ModuleType, code: CodeType) -> bool:
    """Whether as many functions of this name are in both, and one of them is another."""
    old, new = (
        [each.replace(co_linetable=b"", co_firstlineno=1) for each in _codes(whole, name)]
        for whole in (_original(module), code)
    )
    return len(old) == len(new) and old != new


def _original(module: ModuleType) -> CodeType:
    file = str(module.__file__)
    return compile(Path(file).read_text(), file, "exec")


def _put_function(module: ModuleType, name: str, code: CodeType, tree: ast.Module) -> None:
    """Every function object gets the mutant's code, also those that a decorator has taken or that were made before."""
    new = list(_codes(code, name))
    found = [each for each in existing()[str(module.__file__)] if f"{each.__qualname__}.".startswith(f"{name}.")]
    old = list(_codes(_original(module), name))
    places = {(each.co_qualname, each.co_firstlineno): i for i, each in enumerate(old)}
    if len(old) != len(new) or not found:
        # A lambda came or went.
        new, places = new[:1], {(name, old[0].co_firstlineno): 0}
    for function in found:
        place = places.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if place is not None and new[place].co_freevars == function.__code__.co_freevars:
            function.__code__ = new[place]
            if function.__qualname__ == name != LAMBDA:
                _put_defaults(function, tree)


def _codes(code: CodeType, name: str) -> Iterator[CodeType]:
    """The function's code and that of all functions in it."""
    if f"{code.co_qualname}.".startswith(f"{name}."):
        yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each, name)


def _put_defaults(function: FunctionType, tree: ast.Module) -> None:
    (node,) = (each for each in _definitions(tree, "") if each[0] == function.__qualname__)
    arguments = node[1].args

    def value(default: ast.expr) -> Any:
        return eval(compile(ast.Expression(default), "", "eval"), function.__globals__)

    function.__defaults__ = tuple(value(each) for each in arguments.defaults) or None
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    function.__kwdefaults__ = {each.arg: value(default) for each, default in pairs if default} or None


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef):
            yield prefix + each.name, each
        elif isinstance(each, ast.ClassDef):
            yield from _definitions(each, f"{prefix}{each.name}.")


def _put_constants(module: ModuleType, code: CodeType) -> None:
    """The module is run again aside; what is different then takes the place of the old wherever it was imported."""
    fresh = {"__name__": module.__name__, "__file__": module.__file__, "__package__": module.__package__}
    exec(code, fresh)
    changed = [_put_value(module, name, new) for name, new in fresh.items() if not name.startswith("__")]
    if not any(changed):
        raise NotInPlaceError


def _put_value(module: ModuleType, name: str, new: object) -> bool:
    """Whether it is another than before."""
    old = vars(module).get(name)
    if isinstance(new, type) and isinstance(old, type) and new.__module__ == module.__name__:
        return _put_class(old, new)
    if isinstance(new, FunctionType) or not _differ(old, new):
        return False
    for each in list(sys.modules.values()):
        if vars(each).get(name) is old:
            setattr(each, name, new)
    return True


def _put_class(old: type, new: type) -> bool:
    plain = {
        name: value
        for name, value in vars(new).items()
        if not name.startswith("__") and isinstance(value, str | int | float | tuple | frozenset | dict | type(None))
        if name != "_abc_impl" and _differ(vars(old).get(name), value)
    }
    if dataclasses.is_dataclass(new):
        before, after = (str(vars(each)["__dataclass_fields__"]) for each in (old, new))
        if _without_addresses(before) != _without_addresses(after):
            plain |= {name: vars(new)[name] for name in _GENERATED if name in vars(new)}
    for name, value in plain.items():
        setattr(old, name, value)
    return bool(plain)


def _differ(old: object, new: object) -> bool:
    return type(old) is not type(new) or _shown(old) != _shown(new)


def _shown(value: object) -> str:
    # By itself botocore's Config shows nothing of what it holds.
    return _without_addresses(repr(vars(value) if isinstance(value, Config) else value))


def _without_addresses(text: str) -> str:
    return " ".join(word for word in text.replace(">", " ").split() if not word.startswith("0x"))
