"""`doctor`: everything that keeps one secret from being rotated, and the command that mends it."""

from collections import Counter

from rotatorctl.checks import evidence, network, policies, roles, schedule, secret, server, stack, value
from rotatorctl.checks.base import FINE, LEVELS, NOTE, PROBLEM, UNREAD, Examined, Finding
from rotatorctl.deployed import Described, Stack
from rotatorctl.result import Result

CHECKS = (
    *secret.CHECKS,
    *schedule.CHECKS,
    *value.CHECKS,
    *policies.CHECKS,
    *server.CHECKS,
    *evidence.CHECKS,
    *stack.CHECKS,
    *roles.CHECKS,
    *network.CHECKS,
)


def doctor(deployed: Stack, secret_id: str) -> Result:
    """All findings, the worst first; nothing is changed, and the value is read but never shown."""
    examined = Examined(deployed, Described.read(deployed.aws, secret_id))
    findings = [finding for check in CHECKS for finding in check.findings(examined)]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    counts = Counter(finding.level for finding in findings)
    data = {
        "secret": examined.secret.name,
        "secretArn": examined.secret.arn,
        "findings": [finding.json for finding in findings],
        "summary": dict(counts),
    }
    summary = f"{examined.secret.name}: " + ", ".join(f"{count} {level}" for level, count in counts.items())
    shown = [line for finding in findings for line in _lines(finding)]
    return Result("doctor", data, (*shown, summary), fine=not counts[PROBLEM] and not counts[UNREAD])


def _lines(finding: Finding) -> list[str]:
    lines = [f"{finding.level}: {finding.check}: {finding.what} [{finding.code}]"]
    if finding.level == FINE:
        return lines
    lines += [f"    {finding.why}"] if finding.why else []
    return lines + ([f"    $ {finding.command}"] if finding.command and finding.level != NOTE else [])
