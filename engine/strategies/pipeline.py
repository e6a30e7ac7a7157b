"""What a signal must be before risk is asked: confident, calm and confirmed.

Pure float rules over a strategy's own signals and their times (market ms), shared by paper,
live and both backtests; which side may be traded is the desk's to say.
"""

from typing import NamedTuple

# Flips remembered: the greatest number that can be asked for.
FLIPS_KEPT = 4


class Pipeline(NamedTuple):
    """Which signals go on to the risk gates; the defaults let all pass.

    A signal needs `confidence_min` (0 to 1). The market is choppy while signals changed their
    direction `flips` times within `flips_ms`; 0 flips turns it off, 4 is the most. With
    `confirmed` 1 an earlier signal of the same direction must be `apart_ms` or more before it,
    within `confirmed_ms`.
    """

    confidence_min: float = 0.0
    flips: int = 0
    flips_ms: int = 15 * 60_000
    confirmed: int = 0
    confirmed_ms: int = 10 * 60_000
    apart_ms: int = 60_000


OPEN = Pipeline()


class Heard(NamedTuple):
    """The signals so far: the last direction, since when and until when it was given without a
    break longer than `confirmed_ms`, and the times of the last changes, newest first."""

    direction: float = 0.0
    since: float = 0.0
    last: float = 0.0
    flip_1: float = 0.0
    flip_2: float = 0.0
    flip_3: float = 0.0
    flip_4: float = 0.0


UNHEARD = Heard()


def hear(pipeline: Pipeline, heard: Heard, ts: float, direction: float, confidence: float) -> Heard:
    """What is known after a signal; one without confidence is not heard."""
    if direction == 0.0 or confidence < pipeline.confidence_min:
        return heard
    if direction == heard.direction:
        recent = ts - heard.last <= pipeline.confirmed_ms
        since = heard.since if recent else ts
        return Heard(direction, since, ts, heard.flip_1, heard.flip_2, heard.flip_3, heard.flip_4)
    if heard.direction == 0.0:
        return Heard(direction, ts, ts, 0.0, 0.0, 0.0, 0.0)
    return Heard(direction, ts, ts, ts, heard.flip_1, heard.flip_2, heard.flip_3)


def flips(pipeline: Pipeline, heard: Heard, ts: float) -> int:
    """How often signals changed their direction within `flips_ms` of `ts`."""
    earliest = ts - pipeline.flips_ms
    count = 0
    for flip in (heard.flip_1, heard.flip_2, heard.flip_3, heard.flip_4):
        if flip > 0.0 and flip > earliest:
            count += 1
    return count


def is_choppy(pipeline: Pipeline, heard: Heard, ts: float) -> bool:
    return pipeline.flips > 0 and flips(pipeline, heard, ts) >= pipeline.flips


def is_confirmed(pipeline: Pipeline, heard: Heard, ts: float) -> bool:
    """Whether the direction heard last was also heard at least `apart_ms` before `ts`."""
    return pipeline.confirmed == 0 or ts - heard.since >= pipeline.apart_ms


def passes(pipeline: Pipeline, heard: Heard, ts: float, confidence: float) -> bool:
    """Whether a signal that was just heard goes on to the risk gates."""
    return (
        confidence >= pipeline.confidence_min
        and not is_choppy(pipeline, heard, ts)
        and is_confirmed(pipeline, heard, ts)
    )
