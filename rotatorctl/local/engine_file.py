"""A module that is to be an engine: loaded from its file, and looked at before anything of it is called."""

import inspect
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from rotation.engines import ENGINES
from rotation.engines.base import Engine
from rotation.errors import InvalidSecretError
from rotation.secret import EngineTraits, Secret
from rotation.secret_fields import json_object
from rotatorctl.result import CommandError

PAGE = "docs/adding-an-engine.md"


def loaded(path: Path) -> ModuleType:
    """The module, under the name that it has once it lies among the engines. Raises CommandError if it cannot run."""
    name = f"rotation.engines.{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CommandError("EngineNotLoadedError", f"{path} is no Python module", f"{PAGE} shows one")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a module that is being written raises
        raise CommandError(
            "EngineNotLoadedError",
            f"{path} cannot be imported: {type(error).__name__}: {error}",
            f"--debug shows where; a driver that is missing is installed as {PAGE} says",
        ) from error
    return module


def misshapen(module: ModuleType) -> Iterator[str]:
    """What keeps ENGINE of the module from being called as an engine is."""
    made = getattr(module, "ENGINE", None)
    if not inspect.isclass(made) or not issubclass(made, Engine):
        yield "ENGINE is not a class of the module that derives from rotation.engines.base.Engine"
        return
    if missing := sorted(made.__abstractmethods__):
        yield f"{made.__name__} has no {', no '.join(missing)}"
    for name, promised in inspect.getmembers(Engine, inspect.isfunction):
        own = inspect.signature(getattr(made, name))
        if not _takes(own, inspect.signature(promised)):
            yield f"{made.__name__}.{name}{own} is not called as {name}{inspect.signature(promised)}"


def _takes(own: inspect.Signature, promised: inspect.Signature) -> bool:
    """Whether every call of the one is a call of the other: same names in the same order, others with a default."""
    given = list(own.parameters.values())
    same = [(each.name, each.kind) for each in given[: len(promised.parameters)]]
    return same == [(each.name, each.kind) for each in promised.parameters.values()] and all(
        each.default is not each.empty for each in given[len(promised.parameters) :]
    )


def secret_of(text: str, path: Path) -> Secret:
    """The secret to try the engine with. Raises CommandError naming what it lacks."""
    try:
        fields = json_object(text)
        name = fields.get("engine")
        known = ENGINES.get(name) if isinstance(name, str) else None
        registered = known if known and known.module == path.stem else None
        if registered is None and "port" not in fields:
            raise InvalidSecretError(f"{name!r} is not in ENGINES with this module, so the secret needs the key 'port'")
        traits = registered or EngineTraits(path.stem, default_port=int(fields["port"]))
        return Secret.parse(text, {}, {**ENGINES, str(name): traits})
    except (InvalidSecretError, ValueError, TypeError) as error:
        raise CommandError(
            "InvalidSecretError",
            f"{error}",
            'give JSON like {"engine": "ledger", "host": "127.0.0.1", "port": 7070, "username": "…", "password": "…"}',
        ) from None
