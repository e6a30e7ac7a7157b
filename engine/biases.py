"""Which way a model leans, as the core keeps it: taken in, in force for a while, forgotten.

Pure functions of the core's memory. No model is asked here: a bias is an instruction, and a replay
of the journal brings it again.
"""

from math import isfinite

from engine.bias import Bias
from engine.candle import DAY_MS, HOUR_MS
from engine.effect import Done, Outcome
from engine.errors import BadInput, Refused
from engine.instruction import NoteBias
from engine.memory import Memory
from engine.standing import said_time

# What a model made of a market yesterday says nothing of it today.
LASTS_MAX_MS = DAY_MS


def run(memory: Memory, wanted: NoteBias) -> Outcome:
    """Have a bias in force in place of the symbol's last one. Raises Refused for one that can't be
    meant."""
    bias = wanted.bias
    _check_values(memory, bias)
    _check_times(memory, bias)
    memory.desk.biases[bias.symbol] = bias
    return Done(f"{bias.symbol}: {bias.words}."), []


def _check_values(memory: Memory, bias: Bias) -> None:
    if bias.symbol not in memory.instruments:
        raise BadInput("symbol", bias.symbol, ", ".join(memory.instruments))
    if not (isfinite(bias.score) and -1 <= bias.score <= 1):
        raise BadInput("score", bias.score, "-1 to 1")
    if not (isfinite(bias.confidence) and 0 <= bias.confidence <= 1):
        raise BadInput("confidence", bias.confidence, "0 to 1")
    if bias.consultation < 1:
        raise BadInput("consultation", bias.consultation, "the number of an analysis, from 1 on")


def _check_times(memory: Memory, bias: Bias) -> None:
    now, last = memory.desk.now, memory.desk.biases.get(bias.symbol)
    if bias.made_at > now:
        allowed = f"at most {now}, the market's time"
        raise BadInput("made_at", bias.made_at, allowed)
    if not bias.made_at < bias.until <= bias.made_at + LASTS_MAX_MS:
        allowed = f"after made_at, by at most {LASTS_MAX_MS // HOUR_MS} h"
        raise BadInput("until", bias.until, allowed)
    if bias.until <= now:
        raise Refused(f"That bias ended at {said_time(bias.until)}: make a new analysis.")
    if last is not None and now < last.until and bias.made_at < last.made_at:
        raise Refused(f"A newer bias is in force, of /analysis {last.consultation}.")


def in_force(memory: Memory, symbol: str, ts: int) -> Bias | None:
    """What a model makes of a symbol at `ts`, market ms; None where it has ended, or none is."""
    bias = memory.desk.biases.get(symbol)
    return bias if bias is not None and ts < bias.until else None


def forget(memory: Memory, ts: int) -> None:
    """Let go of what has ended at `ts`, market ms."""
    biases = memory.desk.biases
    for symbol in [each.symbol for each in biases.values() if each.until <= ts]:
        del biases[symbol]
