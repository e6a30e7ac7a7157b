"""Bots as plans: whether one can be carried out here, what comes of it, and how it reads.

Pure: everything that is looked at is given.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import count

from engine.bot import Bot, BotPlan
from engine.candle import timeframe_name
from engine.errors import BadInput, Refused
from engine.instrument import Instrument
from engine.proposal import Change, Shown
from engine.strategies import common
from engine.strategies.kernel import Strategy
from engine.strategies.sizing import Sizing, notional

# More are a script's doing: each bot works on every candle.
BOTS_MAX = 50
CAPITAL_MIN, CAPITAL_MAX = Decimal(1), Decimal(10) ** 12
# What is left of an id of 20 characters for the name, beside `_` and a number.
STEM_MAX = 15
FOLLOWED = "; a live market follows those of the bots in countersign.toml, from the next start on"


@dataclass(frozen=True, slots=True)
class Site:
    """Where bots work: the strategies and instruments there are, the market's candles (ms), and
    what accounts of these books begin with."""

    strategies: Mapping[str, Strategy]
    instruments: Mapping[str, Instrument]
    interval: int
    books: str


def made(bot_id: str, plan: BotPlan, strategies: Mapping[str, Strategy], books: str) -> Bot:
    """The bot of a plan, on an account of its own; raises BadInput naming what is allowed."""
    account = f"{books}-{bot_id}"
    strategy = strategy_of(plan, strategies)
    return Bot(bot_id, strategy, plan.symbols, account, plan.capital, plan.values)


def strategy_of(plan: BotPlan, strategies: Mapping[str, Strategy]) -> Strategy:
    """The strategy of a plan, as it is tuned there; raises BadInput naming what is allowed."""
    if plan.strategy not in strategies:
        raise BadInput("strategy", plan.strategy, ", ".join(strategies))
    strategy = strategies[plan.strategy]
    if plan.timeframe:
        strategy = strategy.at(plan.timeframe)
    return strategy.tuned(dict(plan.values)) if plan.values else strategy


def next_id(strategy: str, taken: Collection[str]) -> str:
    """The id of another bot of a strategy, one that none ever had: `rsi_002`."""
    stem = strategy[:STEM_MAX]
    return next(name for n in count(1) if (name := f"{stem}_{n:03}") not in taken)


def check(plan: BotPlan, site: Site) -> None:
    """Raise Refused where a plan can't be carried out, naming what is allowed."""
    strategy = strategy_of(plan, site.strategies)
    if not plan.symbols or len(set(plan.symbols)) < len(plan.symbols):
        raise BadInput("symbols", ", ".join(plan.symbols), "different symbols, at least one")
    for symbol in plan.symbols:
        if symbol not in site.instruments:
            raise BadInput("symbol", symbol, ", ".join(site.instruments) + FOLLOWED)
    if not (plan.capital.is_finite() and CAPITAL_MIN <= plan.capital <= CAPITAL_MAX):
        raise BadInput("capital", str(plan.capital), f"{CAPITAL_MIN} to {CAPITAL_MAX:,} USDT")
    if refusal := unfit(strategy, site.interval):
        raise Refused(refusal)


def unfit(strategy: Strategy, interval: int) -> str:
    """Why a strategy can't work on candles of a length (ms); empty where it can."""
    lengths = filter(None, (strategy.timeframe, strategy.higher))
    odd = [timeframe_name(length) for length in lengths if length % interval]
    if not odd:
        return ""
    return f"{strategy.name} needs candles of {odd[0]}, this market has {timeframe_name(interval)}."


def candles_needed(strategy: Strategy, interval: int) -> int:
    """How many candles of `interval` ms the strategy needs before it may trade, one bar that may
    have begun before them included."""
    begun = max(strategy.timeframe, strategy.higher)
    return (strategy.bars_needed * strategy.timeframe + begun) // interval


# -- in words ----------------------------------------------------------------------------


def shown(plan: BotPlan, site: Site, bots: Mapping[str, Bot], bot_id: str, fee: Decimal) -> Shown:
    """What people are shown of a plan before its bot runs; `fee` is the taker's, a fraction."""
    bot = made(bot_id, plan, site.strategies, site.books)
    strategy = bot.strategy
    others = [each.bot_id for each in bots.values() if each.strategy.name == plan.strategy]
    settled = {
        "symbols": ", ".join(bot.symbols),
        "account": bot.account,
        "capital": f"{bot.capital:f} USDT",
        "bars": timeframe_name(strategy.timeframe),
        "leverage": f"{strategy.sizing.leverage}x",
        "size": sizing_words(strategy.sizing),
        "stop": ", ".join(_stop_words(bot)),
    }
    values = dict(plan.values)
    changes = [
        Change(f"bots of {plan.strategy}", ", ".join(others), ", ".join([*others, bot_id])),
        *(Change(name, "", words) for name, words in settled.items() if name not in values),
        *tuned(site.strategies[plan.strategy], plan.values),
    ]
    return Shown(tuple(changes), risk=_risk(bot, float(fee)))


def tuned(strategy: Strategy, values: Collection[tuple[str, float]]) -> Iterator[Change]:
    """The parameters that somebody set, with what the strategy has for them by itself."""
    known = strategy.tunable
    for name, value in values:
        show = known[name].show
        yield Change(name, show(value_of(strategy, name)), show(value))


def value_of(strategy: Strategy, name: str) -> float:
    """The value in force of a parameter; of an exit rule, that of the symbols without their own."""
    field = common.FIELDS.get(name, name)
    places = (strategy.params, strategy.exits_for("*"), strategy.sizing, strategy.pipeline)
    return float(next(getattr(place, field) for place in places if hasattr(place, field)))


def sizing_words(sizing: Sizing) -> str:
    """How large positions are, and how many: `5% of equity as margin`."""
    if sizing.fixed:
        size = f"{sizing.fixed:g} USDT"
    elif sizing.risk:
        size = f"so that the stop costs {100 * sizing.risk:g}% of equity"
    else:
        size = f"{100 * min(sizing.margin, sizing.margin_cap):g}% of equity as margin"
    return f"{size}, {sizing.slots} positions at most" if sizing.slots else size


def _stop_words(bot: Bot) -> list[str]:
    stops = {symbol: bot.strategy.exits_for(symbol).stop_loss for symbol in bot.symbols}
    words = {
        symbol: f"{100 * stop:g}%" if stop else "as each signal says"
        for symbol, stop in stops.items()
    }
    if len(set(words.values())) == 1:
        return [next(iter(words.values()))]
    return [f"{symbol} {word}" for symbol, word in words.items()]


def _risk(bot: Bot, fee: float) -> str:
    """What the bot may lose: at its stops together, and at worst."""
    sizing, capital = bot.strategy.sizing, float(bot.capital)
    losses = []
    for symbol in bot.symbols:
        stop = bot.strategy.exits_for(symbol).stop_loss
        value = notional(sizing, capital, stop)
        losses.append(min(value * stop, value / sizing.leverage) + 2 * fee * value)
    at_once = sorted(losses, reverse=True)[: sizing.slots or None]
    worst = f"at worst all of its {bot.capital:f} USDT"
    if not all(bot.strategy.exits_for(symbol).stop_loss for symbol in bot.symbols):
        return f"Its stops come with its signals; {worst}."
    return (
        f"When every position runs into its stop, about {min(sum(at_once), capital):.2f} USDT with "
        f"fees; {worst}."
    )
