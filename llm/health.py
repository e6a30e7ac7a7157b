"""Whether the other side is worth asking: a key that it refused, a quota that is used up, failures
in a row."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.ports import Clock
from llm.limits import moment_words, span_words
from llm.model import PASSING, Fault, ModelFailed

# So many calls in a row that failed, and nobody is asked for so long; then one call tries.
FAILURES_MAX = 5
REST_S = 300.0

# Google counts requests by days of this place (https://ai.google.dev/gemini-api/docs/rate-limits).
_GOOGLES_DAY = ZoneInfo("America/Los_Angeles")
# What stays so until somebody mends it and starts the desk again.
_LASTING = frozenset({Fault.BAD_KEY, Fault.NO_SDK, Fault.UNKNOWN_MODEL, Fault.REGION})


class Health:
    """What became of calls, and whether another is worth making."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lasting: ModelFailed | None = None
        self._quota_until = 0
        self._failures = 0
        self._rests_until = 0.0

    def why_not(self) -> str:
        """Why the other side is not to be asked now, in a sentence; empty where it may be."""
        try:
            self.check()
        except ModelFailed as failed:
            return str(failed)
        return ""

    def check(self) -> None:
        """Raise ModelFailed where the other side is not to be asked now."""
        if self._lasting is not None:
            raise ModelFailed(self._lasting.fault, str(self._lasting), sent=False)
        now = self._clock.now()
        if now < self._quota_until:
            again = moment_words(self._quota_until, now)
            words = f"Google's quota for today is used up. The model answers again {again}."
            raise ModelFailed(Fault.QUOTA, words, sent=False)
        rest = self._rests_until - self._clock.monotonic()
        if self.is_on_trial and rest > 0:
            words = (
                f"The model failed {self._failures} times in a row and is left alone. "
                f"It is tried again in {span_words(int(rest * 1000))}."
            )
            raise ModelFailed(Fault.RESTING, words, sent=False)

    @property
    def is_on_trial(self) -> bool:
        """Whether it failed so often that after its rest one call alone is made."""
        return self._failures >= FAILURES_MAX

    def begin(self) -> None:
        """Note that a call is made: while one tries whether a rest was long enough, others wait."""
        if self.is_on_trial:
            self._rest()

    def answered(self) -> None:
        self._failures = 0

    def failed(self, failed: ModelFailed) -> None:
        """Note how a call ended for good."""
        if failed.fault in PASSING:
            self._failures += 1
            if self.is_on_trial:
                self._rest()
            return
        # Whoever refuses is there.
        self._failures = 0
        if failed.fault in _LASTING:
            self._lasting = failed
        elif failed.fault is Fault.QUOTA:
            self._quota_until = _googles_midnight(self._clock.now())

    def _rest(self) -> None:
        self._rests_until = self._clock.monotonic() + REST_S


def _googles_midnight(now: int) -> int:
    """When the day of Google's quotas ends (UTC ms)."""
    today = datetime.fromtimestamp(now // 1000, UTC).astimezone(_GOOGLES_DAY).date()
    midnight = datetime.combine(today + timedelta(days=1), time(), _GOOGLES_DAY)
    return int(midnight.timestamp()) * 1000
