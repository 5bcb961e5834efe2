"""What AWS grants an account, and how long its answers take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quotas:
    """Size and refill of the buckets, of a Region that is none of the three biggest; concurrent functions.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """

    writes: tuple[float, float] = (50, 50)
    get: tuple[float, float] = (10_000, 10_000)
    describe: tuple[float, float] = (40_000, 40_000)
    start_execution: tuple[float, float] = (800, 150)
    describe_execution: tuple[float, float] = (250, 10)
    transitions: tuple[float, float] = (800, 800)
    functions: int = 1_000
    # New environments of one function: https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html
    environments: tuple[float, float] = (1_000, 100)


@dataclass(frozen=True)
class Durations:
    """Seconds."""

    call: float = 0.02
    cold: float = 1.0
    warm: float = 0.01
    service: float = 0.1
    transition: float = 0.02
    # By so large a part they are shorter or longer, at random.
    varies: float = 0.5
