"""The last step of a rotation, which reads no value: the promotion. It is safe to repeat."""

from rotation.errors import StageConflictError
from rotation.labels import Labels
from rotation.model import AWSCURRENT, AWSPENDING, Json
from rotation.outcome import ROTATED, Failure, Finding
from rotation.report import verdict


def finish_secret(rotation: Labels) -> Json:
    """Move AWSCURRENT from the version that CreateSecret saw to the pending one.

    Whoever takes AWSPENDING off it gives its value up. A rotation that is started then may replace the password that
    TestSecret proved, and be rolled back without a trace in AWSCURRENT.
    """
    request, labels = rotation.request, rotation.description
    if not any(labels.carries(request.token, stage) for stage in (AWSPENDING, AWSCURRENT)):
        raise StageConflictError(f"version {request.token} is not labelled AWSPENDING any more")
    rotation.store.promote(request.token, request.current_version)
    return verdict(request, Finding(ROTATED), Failure())
