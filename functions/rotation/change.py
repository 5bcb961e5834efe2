"""One rotation as those steps see it that change the service: also AWSPREVIOUS's credential and the admin's."""

from contextlib import suppress

from rotation import engines
from rotation.admin_secret import admin_credentials
from rotation.errors import InvalidSecretError
from rotation.model import AWSPREVIOUS, Credentials, Request
from rotation.rotation import Rotation
from rotation.secret_store import SecretStore
from rotation.settings import OFF
from rotation.strategies.base import Known


class Change(Rotation):
    """Reads the credentials that may be needed to log in when they are needed, each once."""

    def __init__(self, request: Request, store: SecretStore) -> None:
        super().__init__(request, store)
        self._admin: Credentials | None = None

    def previous(self) -> Credentials | None:
        """AWSPREVIOUS's credential, if there is one: it may be from a time before the secret had this shape."""
        version = self.description.version(AWSPREVIOUS)
        with suppress(InvalidSecretError):
            secret = self.secret(version, AWSPREVIOUS) if version else None
            return secret.credentials if secret else None
        return None

    def admin(self) -> Credentials | None:
        """The admin secret's credential, if this secret names one. Raises InvalidSecretError, AccessDeniedError."""
        if self._admin is None and self.current_secret.admin_arn:
            self._admin = admin_credentials(self.current_secret, engines.ENGINES)
        return self._admin

    def known(self, pending: Credentials) -> Known:
        return Known(
            current=self.current,
            pending=pending,
            fresh=self.request.attempt == 1 and self.request.retry_count == 0,
            keeps=self.current_secret.settings.two_passwords != OFF,
            read_previous=self.previous,
            read_admin=self.admin,
        )
