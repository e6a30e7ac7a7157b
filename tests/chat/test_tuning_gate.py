"""No command on any surface moves a bounded parameter without its gate (T12).

Every command is said by an admin and by a trader, typed on Telegram and at the console and filled
in on Discord, with words that try to reach a parameter. Nobody presses a button.
"""

from collections.abc import Iterator
from itertools import count
from random import Random

from bot.update import Update, UpdateKind
from engine.desk import Desk
from engine.mail import Address, ChatKind
from engine.people import Identity, Person, Role
from engine.proposal import Proposal, ProposalState
from engine.store.memory import MemoryStore
from engine.tunable import Tier
from handlers import COMMANDS
from handlers.command import Command
from tests.chat.both_scene import HandClock
from tests.chat.desks import quiet_market
from tests.chat.hall import Hall, open_hall
from tests.handlers.desks import BOT, say

ACCOUNTS = {"ann": "71", "tom": "72"}
PERSONS = [Person("ann", "ann", Role.ADMIN), Person("tom", "tom", Role.TRADER)]
IDENTITIES = [
    Identity(surface, user_id, name)
    for name, user_id in ACCOUNTS.items()
    for surface in ("telegram", "discord")
]
# What might be taken for a parameter, a value, a scope, or all of them.
WORDS = (
    "leverage", "leverage=50", "leverage=12", "leverage 50", "stop_loss=0", "confidence_min=0",
    "crosses_per_day=11", "crosses_per_day=1e9", "crosses_per_day", "day_stops", "day_stops=0",
    "day_stops 0", "drawdown_stops=40%", "up", "down", "11", "13", "50", "0", "-1", "nan", "inf",
    "1e400", "99%", BOT, f"bot={BOT}", "desk", "bot=desk", "bot=", "value=50", "name=leverage",
    "source=tuner", "tier=green", "reason=x", "calm", "1", "2", "999", "on", "off", "BTC", "long",
    "/tune set leverage 50", f"[tuning] {BOT}.leverage=50", "08:00",
)  # fmt: skip
# Said for certain, beside what chance makes of the words.
SURE = (
    "/tune set crosses_per_day 11",
    "/tune set crosses_per_day 50",
    "/tune set leverage 12",
    "/tune set leverage=12 crosses_per_day=13",
    "/tune set day_stops 4%",
    "/tune snapshot calm",
    "/tune rollback calm",
    f"/strategy set {BOT} margin 4%",
    "/undo",
    "/schedule add 08:00 tune set leverage 12",
    "/preview tune set leverage 12",
)
TRIES = 6


def lines(chance: Random) -> Iterator[tuple[Command, list[str]]]:
    """Every command a few times, each with so many words as it takes, or one more."""
    for command in COMMANDS:
        for _ in range(TRIES):
            most = len(command.arguments) + 1
            yield command, [chance.choice(WORDS) for _ in range(chance.randint(0, most))]


def typed(numbers: Iterator[int], name: str, line: str, now: int) -> Update:
    number, user_id = str(next(numbers)), ACCOUNTS[name]
    return Update(
        "telegram", f"telegram:{number}", UpdateKind.MESSAGE, user_id,
        Address("telegram", user_id), ChatKind.PRIVATE, now, line=line, message_id=number,
    )  # fmt: skip


def filled_in(
    numbers: Iterator[int], name: str, command: Command, words: list[str], now: int
) -> Update:
    number, user_id = str(next(numbers)), ACCOUNTS[name]
    names = [argument.name for argument in command.arguments]
    return Update(
        "discord", f"discord:{number}", UpdateKind.SLASH, user_id, Address("discord", user_id),
        ChatKind.PRIVATE, now, name=command.name, arguments=dict(zip(names, words, strict=False)),
        message_id=number,
    )  # fmt: skip


def values(desk: Desk) -> dict[tuple[str, str], float]:
    scopes = desk.tuning().scopes.values()
    return {(s.scope, name): view.value for s in scopes for name, view in s.parameters.items()}


async def check_gates(desk: Desk, store: MemoryStore, before: dict[tuple[str, str], float]) -> None:
    """What is other than it was is so by changes that were let through, each with its rows."""
    reached = dict(before)
    changes = list(reversed(desk.tuning().changes))
    for change in changes:
        if change.tier is not Tier.GREEN:
            proposal = await desk.proposal(change.proposal_id)
            assert proposal is not None and proposal.state is ProposalState.DONE, change
        for moved in change.moved:
            parameter = desk.tuning().scopes[moved.scope].parameters[moved.name].parameter
            assert change.tier is not Tier.GREEN or parameter.tier is Tier.GREEN, change
            assert parameter.low <= moved.after <= parameter.high or moved.to_base, change
            assert abs(moved.after - moved.before) <= parameter.reach + parameter.step / 2, change
            assert reached[moved.scope, moved.name] == moved.before
            reached[moved.scope, moved.name] = moved.after
    now = values(desk)
    assert {key: now[key] for key in before} == reached
    rows = [row for row in store.audit.values() if row.action == "parameter"]
    assert len(rows) == sum(len(each.moved) for each in changes)


async def test_t12_no_command_on_any_surface_moves_a_parameter_without_its_gate() -> None:
    store, clock, market = MemoryStore(), HandClock(), quiet_market()
    clock.leap(market.coming[-1].closed_at - clock.now())
    numbers, chance = count(1), Random(12)
    async with open_hall(PERSONS, IDENTITIES, (), (), store, clock, market) as hall:
        before = values(hall.desk)
        for sure in SURE:
            await say_everywhere(hall, numbers, sure, clock)
        for command, words in lines(chance):
            who = chance.choice(tuple(ACCOUNTS))
            line = " ".join([f"/{command.name}", *words])
            await hall.say(typed(numbers, who, line, clock.now()))
            await hall.say(filled_in(numbers, who, command, words, clock.now()))
            await say(hall.desk, line, Role.ADMIN)
        await check_gates(hall.desk, store, before)
        # It was not all in vain: what is green moves, the rest waits.
        now = values(hall.desk)
        assert hall.desk.tuning().changes
        assert now[BOT, "leverage"] == before[BOT, "leverage"]
        assert now["", "day_stops"] == before["", "day_stops"]
        stored = [each.title for each in await store.recent(Proposal, limit=1_000)]
        for parameter in ("leverage", "day_stops", "margin"):
            assert [title for title in stored if parameter in title], parameter


async def say_everywhere(hall: Hall, numbers: Iterator[int], line: str, clock: HandClock) -> None:
    await hall.say(typed(numbers, "tom", line, clock.now()))
    await hall.say(typed(numbers, "ann", line, clock.now()))
    await say(hall.desk, line, Role.ADMIN)
