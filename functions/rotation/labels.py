"""One rotation as every step sees it: the request, and the secret's labels without its values."""

from functools import cached_property

from rotation.model import Json, Request
from rotation.secret_store import Description, SecretStore


class Labels:
    """The labels of one secret, as they were when they were first asked for."""

    def __init__(self, request: Request, store: SecretStore) -> None:
        self.request = request
        self.store = store

    @cached_property
    def description(self) -> Description:
        return self.store.describe()

    def look_again(self) -> Description:
        """The labels as they are now."""
        self.description = self.store.describe()
        return self.description

    def kind_if_known(self) -> Json:
        """The names of engine and strategy, as CreateSecret found them."""
        return self.request.kind
