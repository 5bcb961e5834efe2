"""What CloudWatch counts: metrics in the function's own log (EMF), which cost no call.

Everything is counted per stack, because each further combination of dimensions is a metric that costs money; one metric
tells engines and strategies apart. A secret's name is a property of the log line, to be searched for, and never a
dimension: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from rotation.model import ROLL_BACK, Json, Request, name_of
from rotation.outcome import NEEDS_A_PERSON, ROLLED_BACK, ROTATED, UNTOUCHED

if TYPE_CHECKING:
    from rotation.executions import Execution

NAMESPACE = "SecretRotation"

# How an attempt ended, and the metric that counts it.
OUTCOMES = {ROTATED: "Rotated", UNTOUCHED: "Untouched", ROLLED_BACK: "RolledBack", NEEDS_A_PERSON: "NeedsAPerson"}
NOT_STARTED, NOT_TOLD = "RotationNotStarted", "NotTold"


def count_attempt(request: Request, report: Json, kind: Mapping[str, str]) -> None:
    """One attempt as its report tells it: its outcome, how long it took in milliseconds, which attempt it was.

    `kind` has its Engine and its Strategy. Counted by the function that found the outcome; if that one's answer is lost
    and it looks again, it counts again.
    """
    metrics = _about(request.secret_name)
    # People hear of it once, and so does whom the alarm calls.
    told_before = report["Outcome"] == NEEDS_A_PERSON and report["Key"] == request.previous.get("Key")
    metrics.add_metric(OUTCOMES[report["Outcome"]], MetricUnit.Count, int(not told_before))
    if request.started:
        duration = datetime.now(UTC) - datetime.fromisoformat(request.started)
        metrics.add_metric("Duration", MetricUnit.Milliseconds, duration.total_seconds() * 1000)
    metrics.add_metric("Attempts", MetricUnit.Count, request.attempt)
    # A metric's value is an array in the log line, where a query would have to ask for its first element.
    for name in ("Outcome", "Step", "Error", "Attempt"):
        metrics.add_metadata(name.lower(), report[name])
    metrics.flush_metrics()
    by_engine = _about(request.secret_name)
    by_engine.add_dimension("Outcome", report["Outcome"])
    for name, value in kind.items():
        by_engine.add_dimension(name, value)
    by_engine.add_metric("Rotations", MetricUnit.Count, 1)
    by_engine.flush_metrics()


def count_if_nobody_looked(ended: "Execution") -> None:
    """An execution whose RollBack did not run, or was stopped with it, so that it could not count what it found."""
    if ended.reported:
        report = ended.verdict["Report"]
        unseen = not report.get("Looked", True) and report["Key"] != ended.input["Previous"]["Key"]
    else:
        unseen = ended.input.get("Mode") == ROLL_BACK and not ended.succeeded
    if unseen:
        metrics = _about(name_of(ended.input["SecretId"]))
        metrics.add_metric(OUTCOMES[NEEDS_A_PERSON], MetricUnit.Count, 1)
        read = {"outcome": NEEDS_A_PERSON, "attempt": ended.attempt, "step": "RollBack", "error": ended.error}
        for name, value in read.items():
            metrics.add_metadata(name, value)
        metrics.flush_metrics()


def count_if_nobody_was_told(ended: "Execution") -> None:
    """An execution that could not publish its message, or a rollback that broke before it had one.

    EventBridge sees neither in its events of a machine whose data a customer managed key encrypts: they hold no error.
    """
    broke = ended.status == "FAILED" and ended.input.get("Mode") == ROLL_BACK and not ended.reported
    if broke or not ended.delivered:
        metrics = _about(name_of(ended.input["SecretId"]))
        metrics.add_metric(NOT_TOLD, MetricUnit.Count, 1)
        metrics.add_metadata("execution", ended.name)
        metrics.flush_metrics()


def count_not_started(secret: str, error: str) -> None:
    """A rotation that came to no execution, which alone would tell people."""
    metrics = _about(secret)
    metrics.add_metric(NOT_STARTED, MetricUnit.Count, 1)
    metrics.add_metadata("error", error)
    metrics.flush_metrics()


def count_refused(secret: str) -> None:
    """A step that the service refused to log in; what RollBack is refused shows in the outcome."""
    metrics = _about(secret)
    metrics.add_metric("RefusedLogIns", MetricUnit.Count, 1)
    metrics.flush_metrics()


def measure_ages(counts: Mapping[str, int], names: Mapping[str, list[str]]) -> None:
    """How old the stack's secrets are, in days, and how many are overdue; `names` of secrets are to be read."""
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    for name, count in counts.items():
        metrics.add_metric(name, MetricUnit.Count, count)
    for name, secrets in names.items():
        metrics.add_metadata(name, secrets)
    metrics.flush_metrics()


def _about(secret: str) -> EphemeralMetrics:
    """Its one dimension is `service`, the stack's name, from POWERTOOLS_SERVICE_NAME."""
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_metadata("secret", secret)
    return metrics
