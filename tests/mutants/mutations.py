"""Every mutant that mutmut can make of some modules, as JSON. Runs in .venv-mutants, where mutmut is.

mutmut itself leaves decorated functions and everything outside a function alone, because its own way to run a mutant
cannot reach them. Ours can, so they count.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode


@dataclass(frozen=True)
class Mutant:
    """Some lines of a file, from `line` on, replaced by others; `function` is empty outside of functions."""

    file: str
    function: str
    line: int
    old: list[str]
    new: list[str]
    name: str


class _Everywhere(MutationVisitor):
    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return False
        return bool(super()._skip_node_and_children(node))


def mutants(file: Path) -> Iterator[Mutant]:
    wrapper = MetadataWrapper(cst.parse_module(file.read_text()))
    # Without pragmas: nothing is excluded.
    visitor = _Everywhere(mutation_operators, IgnoredCode(set(), set(), set()))
    wrapper.visit(visitor)
    module = wrapper.module
    statements = {id(node): statement for statement in module.body for node in _walk(statement)}
    functions = {id(node): name for name, function in _functions(module) for node in _walk(function)}
    starts = _starts(module)
    seen: Counter[str] = Counter()
    for mutation in visitor.mutations:
        statement = statements[id(mutation.original_node)]
        line, old, new = _lines(module, statement, mutation)
        if old == new:
            continue
        function = functions.get(id(mutation.original_node), "")
        name = f"{file.stem} {function or '-'}: {_difference(' '.join(old), ' '.join(new))}"
        seen[name] += 1
        name += f" #{seen[name]}" if seen[name] > 1 else ""
        yield Mutant(str(file), function, starts[id(statement)] + line, old, new, name)


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _functions(module: cst.Module) -> Iterator[tuple[str, cst.FunctionDef]]:
    """Functions of the module and methods of its classes, by qualified name."""
    for statement in module.body:
        if isinstance(statement, cst.FunctionDef):
            yield statement.name.value, statement
        elif isinstance(statement, cst.ClassDef):
            for each in statement.body.body:
                if isinstance(each, cst.FunctionDef):
                    yield f"{statement.name.value}.{each.name.value}", each


def _lines(module: cst.Module, statement: cst.CSTNode, mutation: Mutation) -> tuple[int, list[str], list[str]]:
    """The first line that differs, counted in the statement, and from there the lines that do, before and after."""
    mutated = statement.deep_replace(mutation.original_node, mutation.mutated_node)
    old, new = (module.code_for_node(each).splitlines() for each in (statement, mutated))
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, old[start : len(old) - end], new[start : len(new) - end]


def _starts(module: cst.Module) -> dict[int, int]:
    """The number of each statement's first line, with the empty lines and comments before it."""
    starts, line = {}, 1 + sum(len(module.code_for_node(each).splitlines()) for each in module.header)
    for statement in module.body:
        starts[id(statement)] = line
        line += len(module.code_for_node(statement).splitlines())
    return starts


def _difference(old: str, new: str) -> str:
    """What went and what came, with a little of what is around it."""
    old, new = " ".join(old.split()), " ".join(new.split())
    before = _common(old, new)
    after = _common(old[len(before) :][::-1], new[len(before) :][::-1])[::-1]
    went, came = (_short(text[len(before) : len(text) - len(after)]) for text in (old, new))
    return f"{before[-40:]}[{went}|{came}]{after[:20]}"


def _common(a: str, b: str) -> str:
    return "".join(x for x, _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:40]} … {text[-36:]}"


if __name__ == "__main__":
    json.dump([asdict(mutant) for file in sys.argv[1:] for mutant in mutants(Path(file))], sys.stdout)
