"""One trial: a plan that is simulated, and what is kept of it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b

from structlog.testing import capture_logs

from tests.sim.promises import Violation
from tests.sim.shrink import shrink
from tests.sim.weather import Plan
from tests.sim.world import Outcome

# What one simulation may take of a processor (s); one takes less than a second, and one that goes
# on for ever is shrunk in some forty tries.
CPU_S_MAX = 10.0
ENDS = "a simulation ends by itself"

Run = Callable[[Plan], Outcome]


class TooLong(KeyboardInterrupt):
    """The simulation runs in a circle; asyncio lets nothing else through."""


def attempt(plan: Plan, run: Run, cpu_s_max: float = CPU_S_MAX) -> Outcome:
    """Simulate a plan. One that fails, or doesn't end, has broken a promise of its own."""
    try:
        with capture_logs(), _limited(cpu_s_max):
            return run(plan)
    except TooLong:
        words = f"it went on for {cpu_s_max:g} s of a processor"
    except (Exception, BaseExceptionGroup) as error:
        words = f"{type(error).__name__}: {error}"
    return Outcome(plan, [Violation(ENDS, 0.0, words)])


@contextmanager
def _limited(cpu_s: float) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    # And again, for what is still in a circle when it is being ended.
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def digest(outcome: Outcome) -> str:
    """What two runs of the same plan have in common."""
    return blake2b("\n".join(outcome.trace).encode(), digest_size=16).hexdigest()


def of_seed(run: Run, seed: int) -> tuple[Outcome, str]:
    """What came of a seed without its trace, and the digest of that."""
    outcome = attempt(Plan.of(seed), run)
    return replace(outcome, trace=[]), digest(outcome)


def smallest(run: Run, promise: str, plan: Plan) -> Plan:
    """A plan that breaks a promise, shrunk to what breaks the same one."""

    def breaks(smaller: Plan) -> bool:
        return any(each.promise == promise for each in attempt(smaller, run).violations)

    return shrink(plan, breaks)
