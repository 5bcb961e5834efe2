"""`unstick`: give the pending value of a rotation up once AWSCURRENT was proven to log in, or finish that rotation."""

from rotation.model import AWSCURRENT, AWSPENDING
from rotation.outcome import ROTATED, UNKNOWN
from rotatorctl.executions import LOG_IN_TEST, ROTATION, RUNNING, Run
from rotatorctl.following import Following
from rotatorctl.proof import Proof
from rotatorctl.result import Json, Problem, Result
from rotatorctl.stuck import Stuck, moved_on

NOTHING_STUCK, CLEARED, FINISHED = "nothing stuck", "cleared", "finished"
NOT_PROVEN, MOVED_ON, STOPPED = "not proven", "moved on", "stopped"

_WORDS = {
    CLEARED: "AWSCURRENT logs in, and AWSPENDING was taken off version {}; the next rotation makes another value",
    FINISHED: "only the pending value logs in, so AWSCURRENT is version {} now; applications have to read it afresh",
}
_GOES_ON = {
    LOG_IN_TEST: "the execution that tries AWSCURRENT goes on by itself, and changes nothing",
    ROTATION: "the attempt that finishes the rotation goes on by itself; if it fails it is taken back, and people are "
    "told",
}


def nothing_stuck(secret_id: str) -> Result:
    data = {"secret": secret_id, "outcome": NOTHING_STUCK}
    return Result("unstick", data, (f"{secret_id}: AWSPENDING is on no version of its own, so nothing is stuck",))


def unstick(found: Stuck, following: Following) -> Result:
    """Prove which credential logs in, then move the one label that has to be moved."""
    proof = Proof(found, following)
    proof.look()
    if proof.run and not proof.run.execution.ended:
        return _result(proof, RUNNING, _still_running(proof, proof.run))
    if proof.run and proof.run.name.kind == ROTATION and proof.run.outcome == ROTATED:
        return _result(proof, FINISHED)
    if proof.stopped:
        return _result(proof, STOPPED, _stopped(found))
    return _after_the_proof(proof)


def _after_the_proof(proof: Proof) -> Result:
    if proof.works not in (AWSCURRENT, AWSPENDING):
        return _result(proof, NOT_PROVEN, _not_proven(proof))
    if moved_on(proof.following.stack, proof.found):
        return _result(proof, MOVED_ON, _changed(proof.found))
    move = _clear if proof.works == AWSCURRENT else _finish
    return _result(proof, move(proof))


def _clear(proof: Proof) -> str:
    proof.following.stack.aws.secrets.update_secret_version_stage(
        SecretId=proof.found.secret.arn, VersionStage=AWSPENDING, RemoveFromVersionId=proof.found.version
    )
    return CLEARED


def _finish(proof: Proof) -> str:
    proof.following.stack.aws.secrets.update_secret_version_stage(
        SecretId=proof.found.secret.arn,
        VersionStage=AWSCURRENT,
        MoveToVersionId=proof.found.version,
        RemoveFromVersionId=proof.found.secret.current,
    )
    return FINISHED


def _result(proof: Proof, outcome: str, problem: Problem | None = None) -> Result:
    found, stack, arn = proof.found, proof.following.stack, proof.run.execution.arn if proof.run else ""
    data: Json = {
        "secret": found.secret.name,
        "secretArn": found.secret.arn,
        "versionId": found.version,
        "outcome": outcome,
        # What was live was the pending value, whatever label it has since.
        "workingCredential": AWSPENDING if outcome == FINISHED else proof.works,
        "executionArn": arn,
        "executionUrl": stack.execution_url(arn) if arn else "",
    }
    words = (f"{found.secret.name}: {_WORDS[outcome].format(found.version)}",) if outcome in _WORDS else ()
    return Result("unstick", data, words, (problem,) if problem else ())


def _shown(proof: Proof) -> str:
    """Where the execution is to be seen, to be put behind a next step; nothing if there is none."""
    if proof.run is None:
        return ""
    return f"; look at the execution: {proof.following.stack.execution_shown(proof.run.execution.arn)}"


def _still_running(proof: Proof, run: Run) -> Problem:
    name, kind = proof.found.secret.name, run.name.kind
    again = "rotate" if kind == ROTATION else "unstick"
    joins = "begins again" if kind == LOG_IN_TEST else "joins it"
    looks = "the execution that looks goes on by itself, and sets AWSCURRENT's credential again where it is refused"
    return Problem(
        "StillRunningError",
        f"you stopped watching, and the command has moved no label; {_GOES_ON.get(kind, looks)}",
        f"`rotatorctl {again} {name}` {joins}{_shown(proof)}",
        name,
    )


def _stopped(found: Stuck) -> Problem:
    return Problem(
        "StoppedError",
        "you stopped it before all was done; nothing that it began still runs, and no label was moved",
        f"`rotatorctl unstick {found.secret.name}` begins again",
        found.secret.name,
    )


def _not_proven(proof: Proof) -> Problem:
    _, error, reason = proof.run.failure if proof.run else ("", "", "")
    section = "check" if proof.works == UNKNOWN else "action"
    return Problem(
        "NotProvenError",
        f"neither AWSCURRENT nor AWSPENDING was proven to log in (works: {proof.works}; {error}: {reason}); "
        "no label was moved",
        f"docs/failures.md#needs-a-person-{section} says what to do{_shown(proof)}",
        proof.found.secret.name,
    )


def _changed(found: Stuck) -> Problem:
    return Problem(
        "MovedOnError",
        "labels moved, or another attempt began, while the credentials were tried; no label was moved",
        f"`rotatorctl status` shows how it stands; `rotatorctl unstick {found.secret.name}` looks again",
        found.secret.name,
    )
