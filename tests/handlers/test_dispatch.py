"""The one door in: who may say what, and what happens to what goes wrong."""

from dataclasses import replace

import pytest

from engine.desk import Desk
from engine.errors import Unreachable
from engine.people import Role
from engine.store.memory import MemoryStore
from handlers import COMMANDS
from handlers.command import Command, Context, command
from handlers.dispatch import LINE_MAX, dispatch, dispatch_line
from handlers.exchange import ON_PAPER
from handlers.reply import Reply
from tests.clock import turn
from tests.handlers.desks import BOT, context, say

# What a command needs to be typed with.
ARGUMENTS = {
    "buy": "ETH 100",
    "sell": "ETH 100",
    "close": "BTC",
    "stops": "BTC 104000",
    "be": "BTC",
    "cancel": "all",
    "order": "P00000001",
    "kill": "stop",
    "cooldown": "clear",
    "breaker": "reset",
    "discard": "BTC",
    "approve": "1",
    "reject": "1",
    "preview": "status",
    "role": "telegram:123 viewer",
    "unenroll": "ann",
    "unlock": "tom",
    "bot pause": BOT,
    "bot resume": BOT,
    "bot add": "momentum ETH",
    "bot remove": "momentum_001",
    "strategy off": "shortseller BTC",
    "strategy on": "shortseller BTC",
    "side": "long_only 12h",
    "strategy show": "rsi",
    "backtest": "volume BTC 2",
    "backtest show": "1",
    "backtest cancel": "1",
    "compare": "1 2",
    "alert": "BTC above 900000",
    "unalert": "1",
    "schedule add": "08:00 status",
    "schedule remove": "1",
    "schedule run": "1",
    "strategy set": f"{BOT} leverage 9",
    "tune set": "leverage 9",
    "tune snapshot": "calm",
    "tune diff": "calm",
    "tune rollback": "calm",
    "tune cancel": "1",
    "ask": "what do we hold now?",
}
# What is answered to a command's first word alone.
SCHEDULES = (
    "Say one of: /schedule add <when> [zone] [command], /schedule list, "
    "/schedule remove <schedule>, /schedule run <schedule>."
)
# What there must be before a command can do something.
BEFORE = {
    "unalert": ("/alert BTC above 900000",),
    "schedule remove": ("/schedule add 08:00 status",),
    "schedule run": ("/schedule add 08:00 status",),
    "bot resume": (f"/bot pause {BOT}",),
    "bot remove": ("/bot add momentum ETH", "/approve 1"),
    "strategy on": ("/strategy off shortseller BTC",),
    "resume": ("/halt",),
    "cancel": ("/buy ETH 100 limit=3000", "/approve 1"),
    "approve": (f"/bot pause {BOT}", f"/bot resume {BOT}"),
    "reject": (f"/bot pause {BOT}", f"/bot resume {BOT}"),
    "unlock": ("/lock tom",),
    "backtest show": ("/backtest volume BTC 2",),
    "backtest cancel": ("/backtest volume BTC 2",),
    "compare": ("/backtest volume BTC 2", "/backtest volume ETH 2"),
    "undo": ("/tune set crosses_per_day 9",),
    "tune diff": ("/tune snapshot calm",),
    "tune rollback": ("/tune snapshot calm", "/tune set crosses_per_day 9"),
    "tune resume": ("/tune stop news",),
    "tune cancel": ("/tune run",),
}
# What is refused for another reason than the role of the command.
REFUSED = {
    ("access", Role.VIEWER): "You are viewer already.",
    ("access", Role.TRADER): "You are trader already.",
    ("access", Role.ADMIN): "You are admin already.",
    ("link", Role.NOBODY): "Say /link with the account that the desk knows",
    ("lock", Role.ADMIN): "ann is the only admin who can act",
    ("discard", Role.TRADER): ON_PAPER,
    ("discard", Role.ADMIN): ON_PAPER,
    ("accept", Role.TRADER): ON_PAPER,
    ("accept", Role.ADMIN): ON_PAPER,
    ("sync run", Role.TRADER): ON_PAPER,
    ("sync run", Role.ADMIN): ON_PAPER,
    ("arm", Role.ADMIN): ON_PAPER,
    ("lift", Role.TRADER): "No lock is there to lift.",
    ("lift", Role.ADMIN): "No lock is there to lift.",
    ("breaker", Role.TRADER): "The circuit breaker is not open.",
    ("breaker", Role.ADMIN): "The circuit breaker is not open.",
    ("cooldown", Role.ADMIN): "No limit of losses cuts or stops anything.",
    ("unenroll", Role.ADMIN): "ann has no authenticator.",
    ("tune check", Role.TRADER): f"{BOT} traded nothing that could be compared.",
    ("tune check", Role.ADMIN): f"{BOT} traded nothing that could be compared.",
    ("unlock", Role.VIEWER): "That needs the role admin; yours is viewer.",
    ("unlock", Role.TRADER): "That needs the role admin; yours is trader.",
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("target", COMMANDS, ids=lambda target: target.name)
async def test_every_command_is_run_for_its_role_and_refused_below_it(
    desk: Desk, target: Command, role: Role
) -> None:
    for before in BEFORE.get(target.name, ()):
        assert (await say(desk, before, in_chat=True)).ok
    line = f"/{target.name} {ARGUMENTS.get(target.name, '')}"
    answer = await say(desk, line, role, in_chat=True)
    if (target.name, role) in REFUSED:
        assert answer.error is not None
        assert answer.error.startswith(REFUSED[target.name, role])
    elif role >= target.role:
        assert answer.ok, answer.error
    else:
        assert answer.error == f"/{target.name} needs the role {target.role.word}."


async def test_a_role_is_checked_before_anything_is_said_about_arguments(desk: Desk) -> None:
    answer = await say(desk, "/bot pause nobody", Role.VIEWER)
    assert answer.error == "/bot pause needs the role trader."


async def test_an_argument_parsed_elsewhere_meets_the_same_check(desk: Desk) -> None:
    target = next(each for each in COMMANDS if each.name == "bot pause")
    answer = await dispatch(context(desk, Role.VIEWER), target, {"bot": BOT})
    assert answer.error == "/bot pause needs the role trader."


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "Type a command, for example /status. /help lists them all."),
        ("/", "Type a command, for example /status. /help lists them all."),
        ("/statsu", "There is no command /statsu. Did you mean /status? /help lists them all."),
        ("/xyzzy", "There is no command /xyzzy. /help lists them all."),
        ("/schedule", SCHEDULES),
        ("/schedule stop", SCHEDULES),
        ("x" * (LINE_MAX + 1), f"A command has at most {LINE_MAX} characters."),
    ],
)
async def test_what_is_no_command_is_answered_with_a_way_on(
    desk: Desk, line: str, error: str
) -> None:
    assert (await say(desk, line)).error == error


async def test_the_slash_may_be_left_out(desk: Desk) -> None:
    assert (await say(desk, "status")).ok


async def test_every_answer_carries_the_badge(desk: Desk) -> None:
    badge = "PAPER - scripted market"
    assert (await say(desk, "/status")).badge == badge
    assert (await say(desk, "/nothing")).badge == badge


async def test_commands_and_refusals_are_written_to_the_audit(desk: Desk) -> None:
    await say(desk, "/chart btc 1h")
    await say(desk, "/chart xyz")
    await say(desk, f"/bot pause {BOT}", Role.VIEWER)
    while desk.runtime.waiting:
        await turn()
    assert isinstance(desk.store, MemoryStore)
    acts = [row for row in desk.store.audit.values() if row.action == "command"]
    assert {row.actor for row in acts} == {"console:ann"}
    assert [row.detail for row in acts] == [
        "/chart symbol=BTCUSDT timeframe=1h: done",
        "/chart xyz: refused: symbol: 'xyz' is not valid. Allowed: BTCUSDT, ETHUSDT.",
        f"/bot pause {BOT}: refused: /bot pause needs the role trader.",
    ]


async def _fail(context: Context) -> Reply:
    """Fail.

    Example: /fail
    """
    raise Unreachable("the database does not answer")


async def test_a_failure_leaves_as_an_answer(desk: Desk) -> None:
    broken = command("fail")(_fail)
    answer = await dispatch_line(replace(context(desk), commands=(broken,)), "/fail")
    assert answer.error == "That did not work: the database does not answer"


@pytest.mark.parametrize("line", ["/status \x00", "/help \ud800", "/\x00", "/bot pause \udfff"])
async def test_what_no_database_can_keep_is_replaced_before_anybody_reads_it(
    desk: Desk, line: str
) -> None:
    assert not (await say(desk, line)).ok
    store = desk.store
    assert isinstance(store, MemoryStore)
    while not any("refused" in row.detail for row in store.audit.values()):
        await turn()
    assert any("\ufffd" in row.detail for row in store.audit.values())
    assert all(row.detail.encode() and "\x00" not in row.detail for row in store.audit.values())
