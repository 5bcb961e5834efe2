"""`local try`: an engine that is being written, held to what every engine promises, on a server of its author."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from rotation.engines.base import Engine
from rotation.errors import LoginRefusedError, PasswordRejectedError, UnavailableError
from rotation.model import Credentials
from rotatorctl.local.engine_file import PAGE, loaded, misshapen, secret_of
from rotatorctl.local.promises import Promise, broken, table
from rotatorctl.local.servers import HOST, free_port
from rotatorctl.local.signals import sigterm_unwinds, undisturbed
from rotatorctl.result import Problem, Result

type Act = Callable[[], object]

_SHAPE = "the module has the shape of an engine"
# What has to be quoted in a statement, an address or a line.
_UNUSUAL = "a'b\"c\\d$e%f;g @:/?#ü "
_NEXT = f"{PAGE} and functions/rotation/engines/base.py say what each method promises"


def try_engine(path: Path, text: str, ca_pem: str) -> Result:
    """Hold the engine in that file to its promises, with the secret in `text`, trusting `ca_pem` too.

    Raises CommandError if module or secret cannot be used.
    """
    secret, module = secret_of(text, path), loaded(path)
    if wrong := list(misshapen(module)):
        return _result([Promise(_SHAPE, False, "; ".join(wrong))])
    os.environ["PRIVATE_CA"] = ca_pem
    trial = Trial(module.ENGINE(), secret.credentials, secret.traits.holds_two, [Promise(_SHAPE, True)])
    with sigterm_unwinds():
        try:
            trial.run()
        except KeyboardInterrupt:
            return _result(trial.promises, Problem("StoppedError", "you stopped it", "repeat it to try all promises"))
    return _result(trial.promises)


def _result(tried: list[Promise], *problems: Problem) -> Result:
    data = {"promises": [each.data for each in tried]}
    return Result("local try", data, (table(tried),), (*broken(tried, _NEXT), *problems))


@dataclass
class Trial:
    """One engine and a user whose password changes meanwhile. `keeps`: the server holds two passwords of a user."""

    engine: Engine
    old: Credentials
    keeps: bool
    promises: list[Promise]
    # What errors have said, and the passwords that the user may have.
    _said: list[str] = field(default_factory=list, repr=False)
    _given: list[Credentials] = field(default_factory=list, repr=False)

    def run(self) -> None:
        """Try every promise. The user has its password again at the end, also if this is interrupted."""
        if not self._holds("the secret's user logs in", lambda: self.engine.verify(self.old)):
            return
        try:
            self._look()
            self._change()
        finally:
            with undisturbed():
                self._holds("the user has its first password again", self._restore)
        self._holds("no error quotes a password", self._quotes_nothing)

    def _look(self) -> None:
        """The rollback asks the service which credential logs in: a refusal and no answer are not the same."""
        wrong, down = self._next(), replace(self.old, host=HOST, port=free_port())
        self._raises(LoginRefusedError, "a wrong password is refused", lambda: self.engine.verify(wrong))
        self._raises(LoginRefusedError, "with it nothing is set", lambda: self.engine.set_password(wrong, wrong))
        self._holds("the user still logs in", lambda: self.engine.verify(self.old))
        self._raises(UnavailableError, "a server that is down is no refusal", lambda: self.engine.verify(down))

    def _change(self) -> None:
        old, new, unusual = self.old, self._next(), self._next(_UNUSUAL)
        self._holds("a new password is set and logs in", lambda: self._set(old, new))
        self._raises(LoginRefusedError, "the old one is refused then", lambda: self.engine.verify(old))
        self._holds("setting it again is no error", lambda: self._set(new, new))
        self._holds("the old one is set back and logs in", lambda: self._set(new, old))
        self._raises(LoginRefusedError, "the new one is refused then", lambda: self.engine.verify(new))
        if self.keeps:
            self._holds("a new one is set beside the old one", lambda: self._set(old, new, keep=old))
            self._holds("the old one logs in as well", lambda: self.engine.verify(old))
            self._holds("the old one alone is set back", lambda: self._set(new, old))
        self._holds("a password with quotes and signs logs in, or is rejected", lambda: self._set_unusual(unusual))

    def _next(self, begins: str = "") -> Credentials:
        return replace(self.old, password=begins + token_urlsafe(18))

    def _set(self, login: Credentials, target: Credentials, keep: Credentials | None = None) -> None:
        self._given.append(target)
        self.engine.set_password(login, target, keep)
        self.engine.verify(target)

    def _set_unusual(self, unusual: Credentials) -> None:
        try:
            self._set(self.old, unusual)
        except PasswordRejectedError as error:
            self._said.append(str(error))
            self.engine.verify(self.old)

    def _restore(self) -> None:
        """By whichever password logs in."""
        for login in (self.old, *reversed(self._given)):
            with suppress(Exception):
                return self._set(login, self.old)
        raise AssertionError("it has one that was made here and is not kept: give it one by an admin")

    def _quotes_nothing(self) -> None:
        passwords = {each.password for each in (self.old, *self._given)}
        if any(password in said for password in passwords for said in self._said):
            raise AssertionError("the text of an error holds a password; raise with `from None`, and without the text")

    def _raises(self, kind: type[Exception], promise: str, act: Act) -> None:
        def refused() -> None:
            try:
                act()
            except kind as error:
                self._said.append(str(error))
                return
            raise AssertionError("no error")

        self._holds(f"{promise}: {kind.__name__}", refused)

    def _holds(self, promise: str, act: Act) -> bool:
        saw: Any = None
        try:
            act()
        except AssertionError as error:
            saw = str(error)
        except Exception as error:  # whatever an engine that is being written raises is what its author has to see
            self._said.append(str(error))
            saw = f"{type(error).__name__}: {error}"
        self.promises.append(Promise(promise, saw is None, saw or ""))
        return saw is None
