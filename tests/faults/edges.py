"""The edges of a rotation, and what may go wrong at each of them."""

import re
from dataclasses import dataclass, replace

# At a call: an error before it takes effect, or after it (its answer is lost); the process ends after it; the function
# reaches its time limit after it; the call takes effect only when its caller has given up; a read answers with what was
# true before the last write; from here on the server gives no answer until the attempt has ended.
BEFORE, AFTER, KILLED, TIMEOUT = "error before", "answer lost", "killed", "time limit"
LATE, STALE, OUTAGE = "late", "stale read", "outage"
# At a function's invocation as a whole: it is never made, once or for the rest of the attempt. At a state: the
# execution is stopped, or times out.
NOT_INVOKED, GONE, STOPPED, TIMED_OUT = "not invoked", "no function", "stopped", "timed out"
# At a publication: none gets through in this attempt.
REFUSED = "refused"
KINDS = (NOT_INVOKED, GONE, BEFORE, AFTER, KILLED, TIMEOUT, LATE, STALE, OUTAGE, STOPPED, TIMED_OUT, REFUSED)
# No fault of its own, but what comes before one: the service refuses this value, now and for good.
REJECTED = "value rejected"

# In place of a call's number: the invocation itself, or the moment in which a state is entered.
INVOCATION, ENTRY = -1, -2
# The calls that Secrets Manager makes, and those with the news that an execution ended.
ROTATE, RECOVER, PUBLICATION = "rotate", "rotate, told of an end", "Publish"

_READ = re.compile("secretsmanager:(Describe|Get)|stepfunctions:DescribeExecution")
_CHANGE = re.compile(
    r"secretsmanager:(Put|Update)|stepfunctions:Start|postgres (ALTER|CREATE|GRANT|COMMIT)"
    r"|mysql (SET PASSWORD|ALTER|CREATE|GRANT|REVOKE)|mongo (update|create)User|redis ACL (SETUSER|SAVE)"
)


def changes_the_server(call: str) -> bool:
    return bool(_CHANGE.match(call)) and ":" not in call.split(maxsplit=1)[0]


@dataclass(frozen=True)
class Edge:
    """A call of one invocation of a function, both counted from 0; or an invocation; or a state that is entered."""

    where: str
    time: int
    call: int
    name: str

    def __str__(self) -> str:
        again = f" ({self.time + 1})" if self.time else ""
        number = f" {self.call}" if self.call >= 0 else ""
        return f"{self.where}{again}{number} {self.name}"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of fault that applies to it."""
        if self.where == PUBLICATION:
            return (BEFORE, AFTER, REFUSED)
        if self.call == ENTRY:
            return (STOPPED, TIMED_OUT)
        if self.call == INVOCATION:
            return (NOT_INVOKED, GONE, AFTER, KILLED, TIMEOUT, STOPPED, TIMED_OUT)
        late = (LATE,) if _CHANGE.match(self.name) else ()
        stale = (STALE,) if _READ.match(self.name) else ()
        outage = () if ":" in self.name.split(maxsplit=1)[0] else (OUTAGE,)
        return (BEFORE, AFTER, KILLED, TIMEOUT, *late, *stale, *outage)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong at one edge."""

    edge: Edge
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.edge}"

    def at(self, call: str) -> "Fault":
        """As it struck: at the call of that number in its trial, which may be another one than was recorded."""
        return replace(self, edge=replace(self.edge, name=call))
