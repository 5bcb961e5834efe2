"""The admin secret: the credential that may change other users' passwords, and to which server it may go."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rotation import rds
from rotation.errors import AccessDeniedError, InvalidSecretError, StageConflictError
from rotation.model import AWSCURRENT, Credentials, Json
from rotation.secret import EngineTraits, Secret
from rotation.secret_fields import json_object, optional
from rotation.secret_store import SecretStore
from rotation.settings import Settings


def admin_credentials(secret: Secret, engines: Mapping[str, EngineTraits]) -> Credentials:
    """The credential in the admin secret that `secret` names.

    It is sent to the admin secret's own server and to no other, so both secrets have to name the same one. Raises
    InvalidSecretError if they do not, AccessDeniedError naming the tag by which the functions may read it.
    """
    store = SecretStore(secret.admin_arn)
    with _named():
        fields = _fields(store)
        if "host" not in fields:
            fields |= rds.endpoint(store.describe().tags)
        engine = optional(fields, "engine")
    if engine and engines.get(engine) != secret.traits:
        raise InvalidSecretError(f"the admin secret is for engine {engine!r}, this secret for another one")
    with _named():
        admin = Secret("", fields, Settings.of({}), secret.traits).credentials
    if not admin.same_server(secret.credentials):
        raise InvalidSecretError(
            f"the admin secret is for {admin}, this secret for {secret.credentials}; the admin credential is sent to "
            "the admin secret's own host alone, so nothing was sent"
        )
    return admin


def _fields(store: SecretStore) -> Json:
    try:
        value = store.read(None, AWSCURRENT)
    except AccessDeniedError as refused:
        raise AccessDeniedError(
            f"{refused}; an admin secret is readable once it has the tag rotation:admin with this stack's name as value"
        ) from None
    if value is None:
        raise InvalidSecretError("it has no value")
    return json_object(value)


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except (InvalidSecretError, StageConflictError) as error:
        raise InvalidSecretError(f"the admin secret that 'masterarn' names: {error}") from None
