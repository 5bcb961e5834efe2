"""The steps of a rotation before the promotion, and the log-in of mode Test. Each is safe to repeat."""

from typing import TYPE_CHECKING

from rotation.errors import StageConflictError, UnavailableError
from rotation.model import AWSPENDING, TEST, Json
from rotation.rotation import STRATEGIES, Rotation

if TYPE_CHECKING:
    from rotation.change import Change


def create_secret(rotation: Rotation) -> Json:
    """Stage a new value as AWSPENDING, once per token.

    The pending version is in one of three states: it has no value (Secrets Manager registered it: make one), it has
    one (an earlier attempt made it, and it may be live: keep it), or it lost its label (the rotation was ended: stop).
    The first attempt does not ask which of the first two it is: staging never replaces a value.
    """
    request, description = rotation.request, rotation.description
    if not description.carries(request.token, AWSPENDING):
        raise StageConflictError(f"version {request.token} is not labelled AWSPENDING")
    current = rotation.current_secret
    if request.attempt == 1 or rotation.secret(request.token, AWSPENDING) is None:
        value = rotation.strategy.next_value(current)
        rotation.store.stage_pending(request.token, value, request.rotation_token, request.retry_count)
    return {"State": "CreateSecret", "CurrentVersionId": description.current, **rotation.kind}


def set_secret(rotation: "Change") -> Json:
    """Make the service accept the pending credential."""
    _require_replicas_in_sync(rotation)
    pending = rotation.pending
    rotation.strategy.apply(rotation.engine, rotation.known(pending))
    return {"State": "SetSecret", "CurrentVersionId": rotation.request.current_version, **rotation.kind}


def test_secret(rotation: Rotation) -> Json:
    """Prove the pending credential; in mode Test, where nothing was set, log in with AWSCURRENT's.

    The value that is tried says which engine tries it. AWSCURRENT's is read to compare the rights of two users alone.
    """
    kind, warnings = rotation.kind_so_far(), tuple[str, ...]()
    tried = rotation.current_secret if rotation.request.mode == TEST else rotation.pending_secret
    engine, reads = rotation.engine_of(tried), tried.settings.reads
    if rotation.request.mode == TEST:
        engine.verify(tried.credentials, reads)
    else:
        strategy = STRATEGIES[kind["Strategy"]]()
        warnings = strategy.test(engine, tried.credentials, lambda: rotation.current, reads)
    completed = {"State": "TestSecret", "CurrentVersionId": rotation.request.current_version, **kind}
    return {**completed, "Warnings": warnings}


def _require_replicas_in_sync(rotation: Rotation) -> None:
    """A replica Region that lags stops the rotation while nothing has changed yet."""
    for region, status in rotation.description.replicas.items():
        if status == "InProgress":
            raise UnavailableError(f"the replica in {region} is not in sync yet")
        if status != "InSync":
            raise StageConflictError(f"the replica in {region} is {status}; mend the replication first")
