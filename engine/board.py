"""How the limits of each bot stand, in values that commands can show.

Pure functions of the core's memory.
"""

from dataclasses import dataclass
from decimal import Decimal

from engine import entries, tally
from engine.layers import LOSS_NAMES, said
from engine.limits import Caps, Limits, Step
from engine.memory import Memory
from engine.standing import Committed, Lock


@dataclass(frozen=True, slots=True)
class LayerView:
    """One layer of risk: how it stands, in words, and when its step ends (UTC ms of the market; 0
    where it is free, or nothing but a person or a new peak ends it)."""

    layer: str
    step: Step
    detail: str
    until: int = 0


@dataclass(frozen=True, slots=True)
class RiskView:
    """How one bot stands by its limits. `locks` are the protections that hold now."""

    bot_id: str
    account: str
    layers: tuple[LayerView, ...]
    locks: tuple[Lock, ...]

    @property
    def step(self) -> Step:
        """What all layers together come to, for entries in every symbol."""
        return max((each.step for each in self.layers), default=Step.FREE)


@dataclass(frozen=True, slots=True)
class CapView:
    """One hard cap of the desk: what of it is used, where that can be said, and what it may be."""

    cap: str
    used: Decimal | None
    most: Decimal


@dataclass(frozen=True, slots=True)
class BoardView:
    """Every layer of every bot, the hard caps, and the layers that are switched off."""

    risks: tuple[RiskView, ...]
    caps: tuple[CapView, ...]
    off: tuple[str, ...]


def board(memory: Memory) -> BoardView:
    return BoardView(
        risks=tuple(_risk(memory, account) for account in memory.accounts),
        caps=tuple(_caps(memory)),
        off=tuple(_off(memory.policy.limits)),
    )


def _risk(memory: Memory, account: str) -> RiskView:
    now = memory.desk.now
    locks = memory.accounts[account].tally.locks
    losses = [
        LayerView(LOSS_NAMES[each.span], each.step, said(each), each.until)
        for each in tally.standing(memory, account, now)
    ]
    layers = [*losses, *_shutting(memory, account, now), *_exposure(memory, account)]
    return RiskView(
        bot_id=memory.owners[account].bot_id,
        account=account,
        layers=tuple(layers),
        locks=tuple(each for each in locks if each.until > now),
    )


def _shutting(memory: Memory, account: str, now: int) -> list[LayerView]:
    """The layers that shut all entries for a time."""
    limits, kept = memory.policy.limits, memory.accounts[account].tally
    found = []
    if limits.losses:
        detail = f"{kept.streak} in a row, {limits.losses} bring a rest"
        found.append(_shut("loss streak", detail, kept.rests_until, now))
    if limits.stop_outs:
        lock = kept.lock("", now)
        detail = f"{len(tally.stop_outs(memory, account, now))} of {limits.stop_outs} lost stops"
        found.append(_shut("stop-loss guard", detail, lock.until if lock else 0, now))
    if limits.failures:
        detail = f"{len(tally.failures(memory, account, now))} of {limits.failures} failures"
        found.append(_shut("circuit breaker", detail, kept.shut_until, now))
    return found


def _shut(layer: str, detail: str, until: int, now: int) -> LayerView:
    is_shut = until > now
    return LayerView(layer, Step.STOPPED if is_shut else Step.FREE, detail, until * is_shut)


def _exposure(memory: Memory, account: str) -> list[LayerView]:
    """The layers that an entry meets by its size and side; they are free while it fits."""
    limits, held = memory.policy.limits, entries.committed(memory, account)
    found = []
    if limits.one_way:
        found.append(LayerView("one-way exposure", Step.FREE, _one_way(limits, held)))
    if limits.open_risk:
        most = memory.equity(account) * limits.open_risk
        detail = f"every stop met would cost {held.at_stops:.2f}, at most {most:.2f}"
        step = Step.STOPPED if held.at_stops >= most else Step.FREE
        found.append(LayerView("portfolio risk", step, detail))
    if limits.positions:
        step = Step.STOPPED if held.positions >= limits.positions else Step.FREE
        detail = f"{held.positions} of {limits.positions} open"
        found.append(LayerView("positions of the bot", step, detail))
    return found


def _one_way(limits: Limits, held: Committed) -> str:
    most = f"at most {limits.one_way:.0%} one way, from {limits.one_way_from} positions on"
    total = held.longs + held.shorts
    if not total:
        return f"flat; {most}"
    return f"{held.longs / total:.0%} long, {held.shorts / total:.0%} short; {most}"


def _caps(memory: Memory) -> list[CapView]:
    caps: Caps = memory.policy.caps
    use = entries.cap_use(memory, "", memory.desk.now)
    known = (
        CapView("order_value", None, caps.order_value),
        CapView("position_value", None, caps.position_value),
        CapView("gross_exposure", use.gross_exposure, caps.gross_exposure),
        CapView("leverage", None, Decimal(caps.leverage)),
        CapView("orders_a_minute", Decimal(use.orders), Decimal(caps.orders_a_minute)),
        CapView("daily_loss", max(use.lost, Decimal(0)), caps.daily_loss),
    )
    return [each for each in known if each.most]


def _off(limits: Limits) -> list[str]:
    """What of the layers nobody set."""
    in_force = {
        **{name: span in limits.ladders for span, name in LOSS_NAMES.items()},
        "loss streak": bool(limits.losses),
        "one-way exposure": bool(limits.one_way),
        "portfolio risk": bool(limits.open_risk),
        "positions of the bot": bool(limits.positions),
        "stop-loss guard": bool(limits.stop_outs),
        "low-profit symbol": bool(limits.losers),
        "circuit breaker": bool(limits.failures),
        "liquidation": limits.stop_first,
        "price sanity": bool(limits.price_off),
    }
    return [name for name, is_on in in_force.items() if not is_on]
