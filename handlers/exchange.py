"""The account at the exchange: whether the books agree with it, the ways to mend what differs, and
what it takes to trade real money."""

from collections.abc import Sequence
from typing import Annotated

from engine.desk import Desk, tail
from engine.errors import BadInput, Refused
from engine.instruction import Accept, ArmAccount, CancelThere, SyncHistory
from engine.people import Role
from engine.reconcile import HISTORY_DAYS_MAX
from engine.survey import Difference, DifferenceKind
from engine.view import AccountView, ExchangeView
from handlers.command import (
    Act,
    ArgumentType,
    BotId,
    Context,
    Kind,
    Symbol,
    command,
    one_of,
    whole,
)
from handlers.reply import (
    Button,
    Duration,
    Fields,
    Money,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
    show,
)

ON_PAPER = (
    "Orders are filled on paper: the books are all there is, and need no other to agree with."
)
# How far back history is read unless somebody says: what a button asks for.
DAYS = 7
# Differences that get buttons of their own.
BUTTONS_FOR = 3
NOW = "now"
CHECK = Button("Check now", "/reconcile now")
# What stands in an account without being in its books, and can be withdrawn.
DISCARDED = (DifferenceKind.ORPHAN, DifferenceKind.STRANGE_ORDER)

# What each mode is, and what trading there takes; how it is changed.
MODES = {
    "paper": "No money is real: orders are filled on paper, by the desk itself.",
    "demo": "Orders go to Bybit's demo trading: real prices, made-up money, keys of its own.",
    "testnet": "Orders go to Bybit's testnet: prices and money of its own, worth nothing.",
    "live": "Orders go to Bybit. The money is real.",
}
CHANGING = (
    "The mode is MODE in .env, taken over at the next start: paper, demo, testnet or live. Each "
    "has books of its own, and those of the others stay as they are. docs/live.md goes from one to "
    "the next."
)

Now = Annotated[str, one_of(NOW)]
Days = Annotated[int, whole(1, HISTORY_DAYS_MAX)]
# A bot, and how its account at the exchange stands.
Kept = tuple[AccountView, ExchangeView]


# -- books and exchange ------------------------------------------------------------------


@command("reconcile", starts=True)
async def reconcile(context: Context, when: Now | None = None) -> Reply:
    """Whether books and exchange agree: per account the last look, and what differs.

    With now, the exchange is looked at first. Entries stay shut while anything differs.

    Example: /reconcile, or /reconcile now
    """
    desk = context.desk
    if not kept(desk):
        return reply(Text(ON_PAPER))
    if when is not None:
        await desk.survey()
    found = kept(desk)
    rows = [
        (account.bot_id, each.symbol, each.detail.removeprefix(f"{each.symbol}: "))
        for account, there in found
        for each in there.different
    ]
    waiting = [
        (account.bot_id, symbol or None, detail)
        for account, there in found
        for symbol, detail in there.quarantined.items()
    ]
    blocks = [
        _accounts(found, desk.clock.now()),
        Table("What differs", ("bot", "symbol", "what"), tuple(rows), empty=_agrees(found)),
    ]
    if waiting:
        blocks.append(Table("To be looked at", ("bot", "symbol", "what"), tuple(waiting)))
    return reply(*blocks, *_foreign(found), buttons=(CHECK, *_mends(found)))


def kept(desk: Desk) -> list[Kept]:
    """The accounts that are kept at an exchange; none on paper."""
    return [(each, each.exchange) for each in desk.view().accounts if each.exchange is not None]


def _agrees(found: Sequence[Kept]) -> str:
    """What it means that no difference is known: that there is none, or that nobody looked yet."""
    unseen = [account.bot_id for account, there in found if there.survey is None]
    if len(unseen) == len(found):
        return "Nothing was compared yet."
    if unseen:
        return f"Nothing differs; not compared yet: {', '.join(unseen)}."
    return "Nothing differs."


def _accounts(found: Sequence[Kept], now: int) -> Table:
    columns = (
        "bot", "account", "link", "compared", "booked_until", "positions", "orders", "equity",
        "entries",
    )  # fmt: skip
    return Table("Books and exchange", columns, tuple(_account(*each, now) for each in found))


def _account(account: AccountView, there: ExchangeView, now: int) -> tuple[Value, ...]:
    survey = there.survey
    return (
        account.bot_id,
        tail(there.uid) or None,
        there.down or "up",
        Duration(now - there.surveyed_at) if survey else None,
        Time(there.synced_until) if there.synced_until else None,
        len(survey.positions) if survey else None,
        len(survey.orders) if survey else None,
        Money(survey.equity) if survey else None,
        f"shut: {there.shut}" if there.shut else "open",
    )


def _foreign(found: Sequence[Kept]) -> list[Text]:
    """What stands in symbols that no bot trades: it is nobody's business here, and said once."""
    words = [each for _, there in found if there.survey for each in there.survey.foreign]
    listed = "; ".join(dict.fromkeys(words))
    return [Text(f"Also in the account, in symbols that no bot trades: {listed}.")] if words else []


def _mends(found: Sequence[Kept]) -> list[Button]:
    """A way to mend each of the first differences, none twice."""
    mends: dict[str, Button] = {}
    for account, there in found:
        for each in there.different:
            for button in _mend(account.bot_id, each):
                mends.setdefault(button.command, button)
        for symbol in there.quarantined:
            accept = " ".join(filter(None, ["/accept", symbol, account.bot_id]))
            mends.setdefault(accept, Button(f"Go on with {symbol or account.bot_id}", accept))
    return list(mends.values())[: 2 * BUTTONS_FOR]


def _mend(bot_id: str, found: Difference) -> list[Button]:
    read = Button("Read history", f"/sync run {DAYS} {bot_id}")
    close = Button(f"Close {found.symbol}", f"/close {found.symbol} bot={bot_id}")
    match found.kind:
        case DifferenceKind.ORPHAN | DifferenceKind.STRANGE_ORDER:
            return [Button(f"Withdraw {found.symbol} orders", f"/discard {found.symbol} {bot_id}")]
        case DifferenceKind.POSITION | DifferenceKind.MISSING_ORDER:
            return [read]
        case DifferenceKind.NO_STOP:
            return [close]
        case DifferenceKind.UNREADABLE:
            return [read, Button(f"Go on with {found.symbol}", f"/accept {found.symbol} {bot_id}")]


@command("discard", role=Role.TRADER, kind=Kind.SENSITIVE)
async def discard(context: Context, symbol: Symbol, bot: BotId | None = None) -> Act:
    """Withdraw the orders of a symbol at the exchange that the books do not know, once confirmed.

    Those are stops left of a position that is gone, and orders that somebody else made.

    Example: /discard BTC
    """
    account, there = _kept_of(context.desk, bot, symbol)
    orders = tuple(
        each.order_id
        for each in there.different
        if each.symbol == symbol and each.kind in DISCARDED and each.order_id
    )
    if not orders:
        raise Refused(
            f"No order rests in {symbol} that the books do not know. /reconcile now looks."
        )
    return _mended(CancelThere(account.account, symbol, orders))


@command("accept", role=Role.TRADER, kind=Kind.SENSITIVE)
async def accept(context: Context, symbol: Symbol | None = None, bot: BotId | None = None) -> Act:
    """Let a bot go on after the exchange told of what is not the desk's own, once confirmed.

    That is a trade somebody made by hand in the same account, or a message nobody can read.

    Example: /accept BTC
    """
    account, _ = _kept_of(context.desk, bot, symbol)
    return _mended(Accept(account.account, symbol or ""))


def _mended(instruction: CancelThere | Accept) -> Act:
    return Act(instruction, lambda done: reply(Text(done), buttons=(CHECK,)))


def _kept_of(desk: Desk, bot: str | None, symbol: str | None) -> Kept:
    """The account that is meant: of a bot, or of the one that trades the symbol."""
    found = kept(desk)
    if not found:
        raise Refused(ON_PAPER)
    traded = {each.bot_id: each.symbols for each in desk.view().bots}
    meant = [each for each in found if bot in (None, each[0].bot_id)]
    if bot is None:
        meant = [each for each in found if symbol in (None, *traded[each[0].bot_id])]
    if len(meant) != 1:
        bots = ", ".join(each[0].bot_id for each in meant or found)
        raise Refused(f"bot is missing: {bots}. Say which, as in bot={found[0][0].bot_id}.")
    return meant[0]


# -- history -----------------------------------------------------------------------------


@command("sync run", role=Role.TRADER, kind=Kind.SENSITIVE)
async def sync_run(context: Context, days: Days = DAYS, bot: BotId | None = None) -> Act:
    """Read the executions of the last days from the exchange, and book those that are missing.

    Seven days unless you say, 90 at most. It goes on over a restart; what is booked already stays.

    Example: /sync run 30
    """
    account, _ = _kept_of(context.desk, bot, None)
    buttons = (Button("How far", "/sync status"),)
    return Act(SyncHistory(account.bot_id, days), lambda done: reply(Text(done), buttons=buttons))


@command("sync status")
async def sync_status(context: Context) -> Reply:
    """How far history was read, and until when all executions are surely booked.

    Example: /sync status
    """
    found = kept(context.desk)
    if not found:
        return reply(Text(ON_PAPER))
    columns = ("bot", "booked_until", "history", "read_until", "to_be_read_until", "found")
    rows = tuple(_history(account, there) for account, there in found)
    return reply(Table("History", columns, rows))


def _history(account: AccountView, there: ExchangeView) -> tuple[Value, ...]:
    if not there.history_end:
        state = "never read"
    else:
        state = "being read" if there.history_until < there.history_end else "read"
    return (
        account.bot_id,
        Time(there.synced_until) if there.synced_until else None,
        state,
        Time(there.history_until) if there.history_end else None,
        Time(there.history_end) if there.history_end else None,
        there.history_found if there.history_end else None,
    )


# -- modes -------------------------------------------------------------------------------


@command("mode")
async def mode(context: Context) -> Reply:
    """Where orders go, on which accounts, and how that is changed.

    Example: /mode
    """
    desk = context.desk
    facts: dict[str, Value] = {"mode": desk.mode, "market": desk.market.label}
    rows = tuple((account.bot_id, _said(desk, there)) for account, there in kept(desk))
    accounts = [Table("Accounts", ("bot", "account"), rows)] if rows else []
    return reply(Text(MODES[desk.mode]), Fields("Mode", facts), *accounts, Text(CHANGING))


def _said(desk: Desk, there: ExchangeView) -> str:
    who = tail(there.uid) if there.uid else "not heard of yet"
    if desk.mode != "live":
        return who
    return f"{who}, {'traded' if there.armed else 'watched only until an admin says /arm'}"


def _uids(desk: Desk) -> list[str]:
    return sorted({there.uid for _, there in kept(desk) if there.uid})


def _parse_uid(field: str, word: str, desk: Desk) -> str:
    """An account at the exchange, by its number or how that ends."""
    known = _uids(desk)
    found = [uid for uid in known if word.isdigit() and len(word) >= 4 and uid.endswith(word)]
    if len(found) != 1:
        raise BadInput(field, word, ", ".join(known) or "none: no account was heard of yet")
    return found[0]


UID = ArgumentType("an account's number", _parse_uid, _uids, numeric=True, changing=True)


@command("arm", role=Role.ADMIN, kind=Kind.CRITICAL)
async def arm(context: Context, account: Annotated[str, UID] | None = None) -> Act:
    """Let the desk trade the real money of an account, for the first time, with a typed phrase.

    Until then it watches a live account, and opens nothing there.

    Example: /arm, or /arm 12345678
    """
    desk = context.desk
    if not kept(desk):
        raise Refused(ON_PAPER)
    if desk.mode != "live":
        raise Refused(f"{MODES[desk.mode]} Nothing has to be armed.")
    return Act(ArmAccount(account or _watched_only(desk)), lambda done: reply(Text(done)))


def _watched_only(desk: Desk) -> str:
    """The one account that nobody let the desk trade yet."""
    found = sorted({there.uid for _, there in kept(desk) if there.uid and not there.armed})
    if not _uids(desk):
        raise Refused("No account was heard of yet; /reconcile says why.")
    if not found:
        raise Refused("The desk may trade every account already.")
    if len(found) > 1:
        raise Refused(f"account is missing: {', '.join(found)}. Say which, as in /arm {found[0]}.")
    return found[0]


# -- for /status and /health -------------------------------------------------------------


def standing(desk: Desk) -> dict[str, Value]:
    """How the accounts stand at the exchange, as one field; none on paper."""
    now, found = desk.clock.now(), kept(desk)
    shut = {account.bot_id: there.shut for account, there in found if there.shut}
    if shut:
        return {"exchange": "; ".join(f"{bot_id}: {why}" for bot_id, why in shut.items())}
    oldest = min(found, key=lambda each: each[1].surveyed_at, default=None)
    return {"exchange": said_standing(oldest[1], now)} if oldest else {}


def said_standing(there: ExchangeView, now: int) -> str:
    compared = f"compared {show(Duration(now - there.surveyed_at))} ago" if there.survey else ""
    return there.shut or f"open, {compared}"
