"""Bots that come and go while the desk runs, and what they may enter.

Pure functions of the core's memory, like `errands`.
"""

from dataclasses import replace
from datetime import UTC, datetime

from engine import plans
from engine.bot import Bot, BotPlan, BotStatus
from engine.candle import DAY_MS
from engine.effect import (
    CloseAccount,
    Done,
    Effect,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    OpenAccount,
    Outcome,
    RecallCandles,
    Record,
)
from engine.errors import BadInput, Refused
from engine.event import CandleClosed, CandlesRecalled
from engine.instruction import AddBot, RemoveBot, SetSides, TurnOff, TurnOn
from engine.memory import Memory
from engine.people import Asker
from engine.plans import Site
from engine.proposal import Change, Shown
from engine.signal import Sides
from engine.slot import Slot, StepFailed, naming_failures
from engine.tunable import duration_words

# A word that is to hold for longer is better said for good.
LASTS_MAX_MS = 366 * DAY_MS
# What is told of a failure: the beginning of it.
FAULT_MAX = 120
MOMENT = "%Y-%m-%d %H:%M UTC"

StaffInstruction = AddBot | RemoveBot | TurnOff | TurnOn | SetSides


def run(memory: Memory, instruction: StaffInstruction, asker: Asker, ts: int) -> Outcome:
    """Carry out what changes bots or what they may enter; the answer, and what it calls for."""
    try:
        match instruction:
            case AddBot(plan):
                return _add(memory, plan, asker, ts)
            case RemoveBot(bot_id):
                return _remove(memory, bot_id, asker, ts)
            case TurnOff():
                return _turn_off(memory, instruction, asker, ts)
            case TurnOn():
                return _turn_on(memory, instruction, asker, ts)
            case SetSides():
                return _set_sides(memory, instruction, asker, ts)
    except Refused as error:
        return NotDone(str(error)), []


def shown(memory: Memory, instruction: AddBot | RemoveBot | TurnOn | SetSides) -> Shown:
    """What people are shown of it; raises Refused where it can't be done, or would do nothing."""
    match instruction:
        case AddBot(plan):
            bot_id = _checked(memory, plan)
            fee = memory.policy.taker_fee
            return plans.shown(plan, _site(memory), memory.bots, bot_id, fee)
        case RemoveBot(bot_id):
            bot = _removable(memory, bot_id)
            risk = "What it did stays stored; reports of this desk show it no more."
            return Shown((Change(bot_id, _works(memory, bot), "removed"),), risk=risk)
        case TurnOn():
            keys = _switched_off(memory, instruction)
            off = ", ".join(f"{_named(key)} ({memory.desk.disabled[key]})" for key in keys)
            return Shown((Change("switched off", off, ""),))
        case SetSides(sides, lasts_ms):
            before, after = said_sides(memory), _lasting(sides, lasts_ms)
            if before == after:
                raise Refused(f"It is {before} already.")
            return Shown((Change("sides", before, after),))


def title(instruction: AddBot | RemoveBot | TurnOn | SetSides) -> str:
    """What it is, in a few words."""
    match instruction:
        case AddBot(plan):
            return f"Add a bot: {plan.strategy} on {', '.join(plan.symbols)}"
        case RemoveBot(bot_id):
            return f"Remove {bot_id}"
        case TurnOn():
            return f"Switch on {_called(instruction)}"
        case SetSides(sides, lasts_ms):
            return f"Enter {_lasting(sides, lasts_ms)}"


# -- bots --------------------------------------------------------------------------------


def _site(memory: Memory) -> Site:
    return Site(memory.strategies, memory.instruments, memory.interval, memory.books)


def _checked(memory: Memory, plan: BotPlan) -> str:
    """The id of the bot that a plan would make; raises Refused where it can't be made."""
    if len(memory.bots) >= plans.BOTS_MAX:
        raise Refused(f"There are {plans.BOTS_MAX} bots already. Remove one first.")
    plans.check(plan, _site(memory))
    bot_id = plans.next_id(plan.strategy, memory.desk.bot_ids)
    _check_key(memory, bot_id, plan)
    return bot_id


def _check_key(memory: Memory, bot_id: str, plan: BotPlan) -> None:
    """Raise Refused where there is no exchange account that a bot could have its symbols on."""
    key_of = memory.policy.key_of
    if key_of is None:
        return
    key = key_of(bot_id)
    if not key:
        raise Refused(
            f"No API key is open for {bot_id}: the desk opens those of its settings when it starts."
        )
    for bot in memory.bots.values():
        both = sorted({*bot.symbols} & {*plan.symbols})
        if both and key_of(bot.bot_id) == key:
            raise Refused(
                f"{bot.bot_id} trades {', '.join(both)} with the same API key ({key}), and an "
                f"account has one position a symbol. Choose other symbols, or set a key of another "
                f"subaccount for {bot_id} and put it into countersign.toml."
            )


def _add(memory: Memory, plan: BotPlan, asker: Asker, ts: int) -> Outcome:
    bot_id = _checked(memory, plan)
    bot = plans.made(bot_id, plan, memory.strategies, memory.books)
    memory.desk.added[bot_id] = plan
    slots = memory.put_bot(bot)
    memory.touch_account(bot.account)
    symbols = ", ".join(bot.symbols)
    text = f"{bot_id} is added: {plan.strategy} on {symbols}."
    return Done(f"{text} /why says what it waits for."), [
        Record(memory.bot_row(bot)),
        OpenAccount(bot.account, bot.capital, bot.symbols),
        *recall(memory, slots),
        _told(f"{asker.called} added {bot_id}: {plan.strategy} on {symbols}.", ts, bot_id),
    ]


def _removable(memory: Memory, bot_id: str) -> Bot:
    bot = memory.bots.get(bot_id)
    if bot is None:
        raise Refused(f"There is no bot {bot_id!r}.")
    if bot_id not in memory.desk.added:
        raise Refused(f"{bot_id} stands in countersign.toml: it is removed there, for a restart.")
    held = [position.symbol for position in memory.held(bot.account)]
    if held:
        ways = ", ".join(f"/close {symbol} bot={bot_id}" for symbol in held)
        raise Refused(f"{bot_id} holds {', '.join(held)}. First say {ways}.")
    if waiting := {order.symbol for order in memory.accounts[bot.account].orders.values()}:
        raise Refused(f"{bot_id} has an order on its way in {', '.join(sorted(waiting))}.")
    return bot


def _remove(memory: Memory, bot_id: str, asker: Asker, ts: int) -> Outcome:
    bot = _removable(memory, bot_id)
    row = replace(memory.bot_row(bot), status=BotStatus.REMOVED)
    memory.drop_bot(bot)
    return Done(f"{bot_id} is removed. What it did stays stored."), [
        Record(row),
        CloseAccount(bot.account),
        _told(f"{asker.called} removed {bot_id}.", ts, bot_id),
    ]


def _works(memory: Memory, bot: Bot) -> str:
    return f"{memory.status(bot)}, {bot.strategy.name} on {', '.join(bot.symbols)}"


# -- warming up --------------------------------------------------------------------------


def recall(memory: Memory, slots: list[Slot]) -> list[Effect]:
    """Ask for the candles of before, for each slot that has seen none while the market has gone on.

    Until they are there it keeps back what closes.
    """
    cold = [slot for slot in slots if not slot.bars and slot.symbol in memory.desk.cursors]
    for slot in cold:
        slot.kept_back = []
    return [_asked(memory, slot) for slot in cold]


def _asked(memory: Memory, slot: Slot) -> RecallCandles:
    return RecallCandles(
        slot.bot.bot_id,
        slot.symbol,
        memory.desk.cursors[slot.symbol] + memory.interval,
        plans.candles_needed(slot.bot.strategy, memory.interval),
        slot.recall,
    )


def recalled(memory: Memory, event: CandlesRecalled) -> list[Effect]:
    """Warm a bot up on the candles of before, then on those that closed meanwhile.

    It is stored only when it has them all: after a crash it begins again. A bot whose step fails
    is switched off.
    """
    slots = memory.slots.get(event.symbol, ())
    slot = next((each for each in slots if each.bot.bot_id == event.bot_id), None)
    if slot is None:
        return []
    if event.recall and slot.successor is not None:
        return _successor_recalled(memory, slot, slot.successor, event)
    if slot.kept_back is None or event.recall != slot.recall:
        return []
    effects: list[Effect] = []
    for candle in (*event.candles, *(slot.kept_back if event.complete else ())):
        effects += _warmed(memory, slot, candle)
    if event.complete:
        slot.kept_back = None
        memory.touch_slot(slot)
    return effects


def _warmed(memory: Memory, slot: Slot, candle: CandleClosed) -> list[Effect]:
    """Have a slot take a candle of before; what its failure calls for."""
    try:
        with naming_failures():
            slot.warm_up(candle)
    except StepFailed as failure:
        return switch_off(memory, slot, failure)
    return []


# -- another kernel ----------------------------------------------------------------------


def succeed(memory: Memory, slots: list[Slot]) -> list[Effect]:
    """Have a successor warm up for each slot whose bot has other parameters by now than its kernel
    was made with. Until that is warm the slot goes on as it is, and so do the exits of what it
    holds."""
    effects: list[Effect] = []
    for slot in slots:
        params = slot.bot.strategy.params
        if slot.params == params:
            slot.successor = None
        elif slot.successor is not None and slot.successor.params == params:
            slot.successor.work_for(slot.bot)
        else:
            effects += _begin_successor(memory, slot)
    return effects


def _begin_successor(memory: Memory, slot: Slot) -> list[Effect]:
    successor = Slot(slot.bot, slot.symbol, memory.interval)
    if slot.symbol not in memory.desk.cursors:
        # Nobody has seen anything yet.
        successor.take_over(slot)
        memory.put_slot(slot, successor)
        return []
    successor.recall = memory.next_recall()
    successor.kept_back = []
    slot.successor = successor
    return [_asked(memory, successor)]


def _successor_recalled(
    memory: Memory, slot: Slot, successor: Slot, event: CandlesRecalled
) -> list[Effect]:
    if successor.kept_back is None or event.recall != successor.recall:
        return []
    for candle in (*event.candles, *(successor.kept_back if event.complete else ())):
        if failed := _warmed(memory, successor, candle):
            return _give_up(slot, failed)
    if event.complete:
        successor.kept_back = None
        _take_place(memory, slot, successor)
    return []


def follow(memory: Memory, slot: Slot, event: CandleClosed) -> list[Effect]:
    """Have the successor of a slot take a candle that the slot took."""
    successor = slot.successor
    if successor is None:
        return []
    if successor.kept_back is not None:
        successor.kept_back.append(event)
        return []
    if failed := _warmed(memory, successor, event):
        return _give_up(slot, failed)
    _take_place(memory, slot, successor)
    return []


def _give_up(slot: Slot, failed: list[Effect]) -> list[Effect]:
    """The kernel that works goes on minding what is held; nothing is entered until a person says
    so, which lets the other one try again."""
    slot.successor = None
    return failed


def _take_place(memory: Memory, slot: Slot, successor: Slot) -> None:
    """Put a successor to work once it is warm, or as cold as what it succeeds."""
    if successor.is_warm or not slot.is_warm:
        successor.take_over(slot)
        memory.put_slot(slot, successor)


# -- what may be entered -----------------------------------------------------------------


def _switches(memory: Memory, wanted: TurnOff | TurnOn) -> list[str]:
    """What is meant: `bot_id:symbol` each. A strategy's name means all its bots."""
    name = wanted.bot_id
    bots = [memory.bots[name]] if name in memory.bots else memory.bots_of(name)
    if not bots:
        known = dict.fromkeys([*memory.bots, *(b.strategy.name for b in memory.bots.values())])
        raise BadInput("bot", name, ", ".join(known))
    symbols = list(dict.fromkeys(symbol for bot in bots for symbol in bot.symbols))
    if wanted.symbol and wanted.symbol not in symbols:
        raise BadInput("symbol", wanted.symbol, ", ".join(symbols))
    meant = [wanted.symbol] if wanted.symbol else symbols
    return [f"{bot.bot_id}:{s}" for bot in bots for s in bot.symbols if s in meant]


def _switched_off(memory: Memory, wanted: TurnOn) -> list[str]:
    keys = [key for key in _switches(memory, wanted) if key in memory.desk.disabled]
    if not keys:
        raise Refused(f"{_called(wanted)} is on already.")
    return keys


def _turn_off(memory: Memory, wanted: TurnOff, asker: Asker, ts: int) -> Outcome:
    disabled = memory.desk.disabled
    keys = _switches(memory, wanted)
    if all(key in disabled for key in keys):
        return Done(f"{_called(wanted)} is off already."), []
    for key in keys:
        disabled.setdefault(key, asker.called)
    text = f"{_called(wanted)} is off: no new positions. Open ones are still managed."
    return Done(text), [_told(f"{asker.called} switched off {_called(wanted)}.", ts)]


def switch_off(memory: Memory, slot: Slot, failure: StepFailed) -> list[Effect]:
    """Enter nothing on a bot's symbol whose step failed, until a person switches it on again."""
    key = f"{slot.bot.bot_id}:{slot.symbol}"
    if key in memory.desk.disabled:
        return []
    said = str(failure)[:FAULT_MAX]
    memory.desk.disabled[key] = f"its own fault ({said})"
    text = (
        f"{_named(key)} is switched off: its strategy failed ({said}). What it holds keeps its "
        f"stop and target. /strategy on {slot.bot.bot_id} {slot.symbol} lets it try again."
    )
    return [_told(text, memory.desk.market_time, slot.bot.bot_id)]


def _turn_on(memory: Memory, wanted: TurnOn, asker: Asker, ts: int) -> Outcome:
    keys = _switched_off(memory, wanted)
    for key in keys:
        del memory.desk.disabled[key]
    slots = [memory.slot(*key.split(":")) for key in keys]
    text = f"{_called(wanted)} is on again."
    return Done(text), [
        _told(f"{asker.called} switched on {_called(wanted)}.", ts),
        *succeed(memory, slots),
    ]


def _told(text: str, ts: int, bot_id: str | None = None) -> Effect:
    return Notify(Notice(NoticeKind.DESK_CHANGED, ts, bot_id=bot_id, text=text))


def _called(wanted: TurnOff | TurnOn) -> str:
    return f"{wanted.bot_id} on {wanted.symbol}" if wanted.symbol else wanted.bot_id


def _named(key: str) -> str:
    return key.replace(":", " on ")


def _set_sides(memory: Memory, wanted: SetSides, asker: Asker, ts: int) -> Outcome:
    desk = memory.desk
    desk.sides = wanted.sides
    desk.sides_until = desk.market_time + wanted.lasts_ms if wanted.lasts_ms else 0
    return Done(f"From now on it is {said_sides(memory)}."), [
        _told(f"{asker.called} set which sides are entered: {said_sides(memory)}.", ts)
    ]


def end_sides(memory: Memory, ts: int) -> list[Effect]:
    """Both sides may be entered again at `ts`, market ms: the time of the other rule is over."""
    words = memory.desk.sides.words
    memory.desk.sides, memory.desk.sides_until = Sides.BOTH, 0
    return [_told(f"The time of {words} is over: both sides are entered again.", ts)]


def said_sides(memory: Memory) -> str:
    """`long only until 2026-11-21 18:00 UTC`."""
    desk = memory.desk
    sides = memory.sides(desk.market_time)
    if not desk.sides_until or sides is not desk.sides:
        return sides.words
    return f"{sides.words} until {datetime.fromtimestamp(desk.sides_until / 1000, UTC):{MOMENT}}"


def _lasting(sides: Sides, lasts_ms: int) -> str:
    """`long only for 12h`; raises BadInput for a time that can't be meant."""
    if not lasts_ms:
        return sides.words
    if sides is Sides.BOTH or not 0 < lasts_ms <= LASTS_MAX_MS:
        allowed = f"at most {LASTS_MAX_MS // DAY_MS}d, and none for both sides"
        raise BadInput("lasts", duration_words(lasts_ms), allowed)
    return f"{sides.words} for {duration_words(lasts_ms)}"
