"""Live against replay: gathers what a bot traded, and has the exact backtest run its bars.

The desk collects facts and candles; the backtest runs in a worker process.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.own_strategies import known_with
from bot.tuner_subject import Subject
from bot.workers import Workers
from engine.backtest.plan import BARS_BEYOND_WARM_UP
from engine.candle import DAY_MS
from engine.divergence import BY_SOMEBODY, PRICE_TOLERANCE, Terms, Touch
from engine.divergence import compare as held_against
from engine.errors import Refused
from engine.exchange.paper_state import PaperSettings
from engine.ledger import EquityPoint, Funding
from engine.order import Fill
from engine.plans import candles_needed
from engine.position import Position, Trade
from engine.signal import Decision
from engine.standing import day_of, said_time
from engine.stays import Traded
from engine.strategies.kernel import Strategy
from engine.studies import Place, Setup
from engine.tuning import Comparison
from engine.view import BotView

# The backtest trades so long before the window: what is open as that begins is its own.
LEAD_MS = 7 * DAY_MS
# A kernel that has run for long is met by one that has seen so many times its warm-up.
WARM_UPS = 4
# Acts that move the levels of positions, as the audit names them.
MOVING = ("MoveStops", "BreakEven")
ACTS_READ = 500


@dataclass(frozen=True, slots=True)
class Window:
    """What is compared, from `start` to before `end` (market time, UTC ms).

    The backtest may enter from `begins` on, with a deposit of what the account was worth then. Its
    candles begin at `warms`. `remarks` say why it is not all that was asked for.
    """

    warms: int
    begins: int
    start: int
    end: int
    deposit: float
    remarks: tuple[str, ...] = ()


async def compare(
    subject: Subject,
    workers: Workers,
    bot_id: str,
    start: int | None = None,
    end: int | None = None,
    written: int = 0,
) -> Comparison:
    """Run the bars that a bot traded on through the exact backtest, and tell what differs.

    Without times from the beginning of yesterday (UTC) by the market's time until now. Where
    its parameters changed meanwhile, only the stretch since the last change is compared; `written`
    is when its settings changed last, market time. Raises
    Refused where there is nothing to compare, BadInput for an unknown bot, Unreachable.
    """
    bot = subject.bot(bot_id)
    setup = subject.setup(bot)
    strategy = setup.plan(subject.strategies).strategy
    changed = max(written, _changed_at(subject, bot_id))
    window = await _window(subject, bot, strategy, changed, start, end)
    live = await _traded(subject, bot, window.begins)
    touches = await _touches(subject, bot, strategy, window)
    paper = subject.paper
    setup = replace(setup, start=window.warms, stop=window.end, deposit=window.deposit, exact=True)
    place = await subject.place(setup)
    source = subject.source(bot)
    replayed, bars, remarks = await workers.run(run_replay, setup, place, window, paper, source)
    terms = Terms(
        start=window.start,
        end=window.end,
        begins=window.begins,
        bar=strategy.timeframe,
        price=max(PRICE_TOLERANCE, paper.slippage_max / 2),
        ticked=subject.grounds.market.health() is not None,
        stop_moves=any(each.trail or each.break_even for each in strategy.exits.values()),
    )
    remarks = (*window.remarks, *remarks)
    return held_against(bot_id, terms, live, replayed, touches, bars, remarks)


# -- what is compared --------------------------------------------------------------------


async def _window(
    subject: Subject,
    bot: BotView,
    strategy: Strategy,
    changed: int,
    start: int | None,
    end: int | None,
) -> Window:
    interval = subject.grounds.market.interval
    now = subject.runtime.view().market_time
    end = min(now, end if end is not None else now)
    end -= end % interval
    start = start if start is not None else day_of(end) - DAY_MS
    points = await _worth_since(subject, bot, start - LEAD_MS)
    # An average knows for long what it began with: what has just begun is met by one that begins
    # with the same bar.
    kernel_began = now - now % strategy.timeframe - bot.seen * strategy.timeframe
    warm = kernel_began + strategy.bars_needed * strategy.timeframe
    begins = max(points[0].ts, changed, warm, start - LEAD_MS)
    worth = [each for each in points if each.ts <= begins][-1]
    warms = max(kernel_began, begins - WARM_UPS * candles_needed(strategy, interval) * interval)
    least = (strategy.bars_needed + BARS_BEYOND_WARM_UP) * strategy.timeframe
    if max(start, begins) + strategy.timeframe >= end or warms + least > end:
        since = f"It trades like this since {said_time(begins)} only."
        raise Refused(f"There is too little of {bot.bot_id} to compare yet. {since}")
    remarks = []
    if changed > start:
        remarks.append(
            f"Parameters changed at {said_time(changed)}: only what came since is compared."
        )
    elif begins > start:
        remarks.append(f"Its books begin at {said_time(begins)}: what came since is compared.")
    return Window(
        warms=warms,
        begins=begins,
        start=max(start, begins),
        end=end,
        deposit=float(worth.equity),
        remarks=tuple(remarks),
    )


async def _worth_since(subject: Subject, bot: BotView, since: int) -> list[EquityPoint]:
    """The account's worth at full hours since then: its life begins with the first, or went on."""
    points = await subject.store.recent(EquityPoint, account=bot.account, since=since)
    if not points:
        raise Refused(f"{bot.bot_id} has not traded for an hour yet: there is nothing to compare.")
    return points


def _changed_at(subject: Subject, bot_id: str) -> int:
    """When its parameters changed last, market time; 0: not that anybody remembers.

    One after the window counts too: the backtest knows none but the values of now.
    """
    changes = subject.runtime.tuning().changes
    return max((each.made_at for each in changes if bot_id in each.scopes), default=0)


# -- what happened -----------------------------------------------------------------------


async def _traded(subject: Subject, bot: BotView, since: int) -> Traded:
    """What the bot did since then. Positions come first: one that closes meanwhile is known twice,
    not never."""
    store, account = subject.store, bot.account
    positions = await store.recent(Position, account=account)
    return Traded(
        positions=[each for each in positions if not each.is_flat],
        trades=await store.recent(Trade, account=account, since=since),
        payments=await store.recent(Funding, account=account, since=since),
        decisions=await store.recent(Decision, account=account, since=since),
    )


async def _touches(
    subject: Subject, bot: BotView, strategy: Strategy, window: Window
) -> list[Touch]:
    """What people, the emergency stop and the exchange did to the bot's trades."""
    fills = await subject.store.recent(Fill, account=bot.account, since=window.begins)
    return [
        *(
            Touch(fill.exec_time, fill.symbol, BY_SOMEBODY[fill.close_reason])
            for fill in fills
            if fill.close_reason in BY_SOMEBODY
        ),
        *_in_parts(fills, strategy.timeframe),
        *await _moved(subject, bot, window),
    ]


def _in_parts(fills: Sequence[Fill], bar: int) -> list[Touch]:
    """Orders that were filled over more than one bar."""
    orders: dict[tuple[str, str], list[int]] = defaultdict(list)
    for fill in fills:
        orders[fill.symbol, fill.client_order_id].append(fill.exec_time)
    return [
        Touch(min(times), symbol, "it was filled in parts, over more than a bar")
        for (symbol, _), times in orders.items()
        if max(times) - min(times) >= bar
    ]


async def _moved(subject: Subject, bot: BotView, window: Window) -> list[Touch]:
    """Levels that a person moved. The audit knows wall time, which is the market's where that is
    live; elsewhere nobody knows which trade it was."""
    is_live = subject.grounds.market.health() is not None
    since = subject.clock.now() - (subject.runtime.view().market_time - window.begins)
    touches = []
    for action in MOVING:
        found = await subject.store.find_audit(since, action, ACTS_READ)
        for row in found.rows:
            touches += [
                Touch(row.ts if is_live else 0, symbol, "a person moved its levels")
                for symbol in bot.symbols
                if symbol in row.detail and not row.detail.startswith("refused")
            ]
    return touches


# -- in the worker -----------------------------------------------------------------------


def run_replay(
    setup: Setup, place: Place, window: Window, paper: PaperSettings, source: Path | None
) -> tuple[Traded, int, tuple[str, ...]]:
    """What the exact backtest trades, on how many candles, and what is to be said of these.

    What the paper exchange draws is replaced by its mean. `source` is the file of a strategy of the
    user's own. Raises BadInput for candles that it can't run on, Unreachable.
    """
    from engine.backtest.history import check
    from engine.backtest.job import history_of
    from engine.backtest.replayed import bars_within, replay

    plan = setup.plan(known_with(source))
    history = history_of(lambda stage, detail: None, setup, place)
    drawn = paper.slippage_max / 2
    costs = replace(paper, slippage=paper.slippage + drawn, slippage_max=0.0, partial_fills=False)
    replayed = replay(plan, history, costs, window.begins)
    bars = bars_within(history, window.start, window.end)
    return replayed, bars, check(plan.strategy, history)
