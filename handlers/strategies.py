"""The strategies there are: what each does, and every number of it that can be tuned."""

import inspect
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

from engine.candle import MINUTE_MS, timeframe_name
from engine.desk import Desk
from engine.people import Role
from engine.strategies import common
from engine.strategies.exits import Exits
from engine.strategies.kernel import Strategy
from engine.strategies.pipeline import Pipeline
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Unit
from engine.view import BotView
from handlers.arguments import StrategyName
from handlers.bots import switched_off
from handlers.command import Act, BotId, Context, Kind, Words, command, one_of
from handlers.parameters import ParameterName, ParameterValue
from handlers.reply import (
    Block,
    Button,
    Duration,
    Fields,
    Percent,
    Reply,
    Table,
    Text,
    Value,
    reply,
    show,
)
from handlers.tuning import setting

LISTED = ("strategy", "timeframe", "what")
RULE, PARAMETERS, COMMON = "rule", "parameters", "common"
# More of them bury the rule on a phone; they are a button away.
PARAMETERS_SHOWN = 8
# Of strategies at work, buttons beside the general ones.
BUTTONS_OF = 4
# What begins an item of a list in the strategies' own words.
ITEM = "- "
SHARED = (*common.EXITS, *common.SIZING, *common.PIPELINE)
UNITS = {Unit.BARS: " bars", Unit.MONEY: " USDT", Unit.HOUR: ":00 UTC"}


Part = Annotated[str, one_of(RULE, PARAMETERS, COMMON)]


@command("strategy list")
async def strategy_list(context: Context) -> Reply:
    """Every strategy: what it does, on which timeframe, and which bots run it.

    Example: /strategy list
    """
    desk = context.desk
    run = {name: _bots(desk, name) for name in desk.strategies}
    at_work = tuple(
        (*_listed(desk.strategies[name]), ", ".join(bot.bot_id for bot in bots))
        for name, bots in run.items()
        if bots
    )
    others = tuple(_listed(desk.strategies[name]) for name, bots in run.items() if not bots)
    running = [name for name, bots in run.items() if bots]
    buttons = (Button(name, f"/strategy show {name}") for name in running[:BUTTONS_OF])
    view = desk.view()
    off = (line for bot in view.bots for line in switched_off(view, bot))
    return reply(
        Table("Strategies at work", (*LISTED, "bots"), at_work, empty="No bot runs."),
        Table("Other strategies", LISTED, others, empty="Every strategy is at work."),
        *map(Text, off),
        Text("/strategy show and a name tells its rule and its numbers."),
        buttons=(*buttons, Button("Bots", "/bot list"), Button("Signals", "/signals")),
    )


def _listed(strategy: Strategy) -> tuple[Value, ...]:
    return strategy.name, timeframe_name(strategy.timeframe), strategy.summary


def _bots(desk: Desk, strategy: str) -> list[BotView]:
    return [bot for bot in desk.view().bots if bot.strategy == strategy]


@command("strategy show")
async def strategy_show(context: Context, strategy: StrategyName, part: Part = RULE) -> Reply:
    """The rule of a strategy in words, its exits and sizing, and its parameters.

    `parameters` are its own, `common` those that every strategy has: each with its value, what is
    allowed, and what it takes to change it. Green acts at once, yellow waits for a press, red for
    a typed phrase.

    Example: /strategy show shortseller, or /strategy show rsi parameters
    """
    desk = context.desk
    found, bots = desk.strategies[strategy], _bots(desk, strategy)
    buttons = (
        *(Button(each.capitalize(), f"/strategy show {strategy} {each}")
          for each in (RULE, PARAMETERS, COMMON) if each != part),
        Button("Strategies", "/strategy list"),
        Button("Quality", "/quality"),
    )  # fmt: skip
    return reply(*_told(found, part, bots), buttons=buttons)


@command("strategy set", role=Role.TRADER, kind=Kind.SENSITIVE)
async def strategy_set(
    context: Context,
    bot: BotId,
    name: ParameterName,
    value: ParameterValue,
    reason: Words = "",
) -> Reply | Act:
    """Give a parameter of a bot another value, as /tune set does; why may follow.

    Example: /strategy set shortseller_001 leverage 3
    """
    return await setting(context, name, value, bot, reason)


def _told(strategy: Strategy, part: str, bots: Sequence[BotView]) -> Iterator[Block]:
    title = f"Parameters of {strategy.name}"
    if part == PARAMETERS:
        yield parameters_table(title, strategy, strategy.parameters, bots)
    elif part == COMMON:
        yield parameters_table(f"{title} that all have", strategy, SHARED, bots)
    else:
        yield Text(rule_in_words(strategy))
        yield Fields(strategy.name, _card(strategy, bots))
        yield exits_block(strategy)
        yield from _few_parameters(strategy, bots)


def _few_parameters(strategy: Strategy, bots: Sequence[BotView]) -> Iterator[Block]:
    if len(strategy.parameters) <= PARAMETERS_SHOWN:
        yield parameters_table("Parameters", strategy, strategy.parameters, bots)
    else:
        yield Text(f"It has {len(strategy.parameters)} parameters of its own.")


def _card(strategy: Strategy, bots: Sequence[BotView]) -> dict[str, Value]:
    bars = strategy.bars_needed
    return {
        "timeframe": _timeframes(strategy),
        "warm_up": f"{bars:,} bars ({show(Duration(bars * strategy.timeframe))})",
        "sizing": sizing_words(strategy.sizing),
        "signals": pipeline_words(strategy.pipeline),
        "bots": "; ".join(map(_at_work, bots)) or "none runs it",
    }


def _at_work(bot: BotView) -> str:
    return f"{bot.bot_id} on {', '.join(bot.symbols)} {timeframe_name(bot.timeframe)}"


def _timeframes(strategy: Strategy) -> str:
    name = timeframe_name(strategy.timeframe)
    if strategy.higher:
        name += f", confirmed on {timeframe_name(strategy.higher)}"
    others = [timeframe_name(each) for each, _ in strategy.pairs if each != strategy.timeframe]
    return f"{name} (also {', '.join(others)})" if others else name


# -- words -------------------------------------------------------------------------------


def rule_in_words(strategy: Strategy) -> str:
    """What its module says of it, each paragraph on one line; else its summary."""
    module = sys.modules.get(strategy.step.__module__)
    text = inspect.cleandoc(module.__doc__ or "") if module else ""
    paragraphs = (_reflowed(paragraph) for paragraph in text.split("\n\n"))
    return "\n\n".join(paragraphs).replace("`", "") or f"{strategy.summary}."


def _reflowed(paragraph: str) -> str:
    lines: list[str] = []
    for line in paragraph.splitlines():
        if lines and not line.startswith(ITEM):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def sizing_words(sizing: Sizing) -> str:
    """How large a position is, and how many there may be."""
    return ", ".join(_sizing_parts(sizing))


def _sizing_parts(sizing: Sizing) -> Iterator[str]:
    margin = min(sizing.margin, sizing.margin_cap)
    if sizing.fixed:
        yield f"{sizing.fixed:,.0f} USDT a position at {sizing.leverage}x"
    elif sizing.risk:
        yield f"so large that its stop costs {_percent(sizing.risk)} of equity"
    else:
        size = _percent(margin * sizing.leverage)
        yield f"{_percent(margin)} of equity as margin at {sizing.leverage}x, worth {size} of it"
    if sizing.share_cap:
        yield f"at most {_percent(sizing.share_cap)} of equity each"
    yield f"at most {sizing.slots} at once" if sizing.slots else "one a symbol"
    if sizing.free_at_break_even:
        yield "not counting those whose stop is beyond the entry"
    if sizing.free_min:
        yield f"only with {sizing.free_min:,.0f} USDT free"


def pipeline_words(rules: Pipeline) -> str:
    """What a signal must be before risk is asked."""
    return ", ".join(_pipeline_parts(rules)) or "each is taken as it comes"


def _pipeline_parts(rules: Pipeline) -> Iterator[str]:
    if rules.confidence_min:
        yield f"confidence {_percent(rules.confidence_min)} or more"
    if rules.flips:
        yield f"fewer than {rules.flips} turns in {rules.flips_ms // MINUTE_MS} min"
    if rules.confirmed:
        yield f"said twice within {rules.confirmed_ms // MINUTE_MS} min"


def exits_block(strategy: Strategy) -> Block:
    """What closes its positions, per symbol; what is off is left out."""
    rows = tuple((_whose(strategy, symbol), *_exit_values(exits))
                 for symbol, exits in strategy.exits.items())  # fmt: skip
    if all(value is None for row in rows for value in row[1:]):
        return Text("Exits: its own rule alone, with the levels that each signal brings.")
    columns = (
        "symbol",
        "stop",
        "target",
        "trail",
        "trails_from",
        "break_even_from",
        "max_age",
        "losing_age",
        "rest",
        "rest_until_full",
    )
    return Table("Exits", columns, rows)


def _whose(strategy: Strategy, symbol: str) -> str:
    if symbol != "*":
        return symbol
    return "every symbol" if len(strategy.exits) == 1 else "other symbols"


def _exit_values(exits: Exits) -> tuple[Value, ...]:
    shares = (
        exits.stop_loss,
        exits.take_profit,
        exits.trail,
        exits.trail_activation,
        exits.break_even,
    )
    lengths = (
        exits.max_age_ms,
        exits.losing_age_ms,
        exits.cooldown_ms,
        exits.cooldown_block_ms,
    )
    return (
        *(Percent(share) if share else None for share in shares),
        *(Duration(length) if length else None for length in lengths),
    )


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.10g}%"


# -- parameters --------------------------------------------------------------------------


def parameters_table(
    title: str, strategy: Strategy, parameters: Sequence[Parameter], bots: Sequence[BotView]
) -> Table:
    """Each parameter with its value, what it is, its bounds and tier; `bots` run the strategy."""
    rows = tuple(
        (each.name, _value(strategy, each, bots), each.words, each.allowed, str(each.tier))
        for each in parameters
    )
    return Table(title, ("parameter", "value", "what", "allowed", "tier"), rows)


def _value(strategy: Strategy, parameter: Parameter, bots: Sequence[BotView]) -> str:
    """The default, and before it the value of each bot for which somebody set another."""
    unit = UNITS.get(parameter.unit, "")
    default = " or ".join(
        dict.fromkeys(parameter.show(value) + unit for value in _defaults(strategy, parameter))
    )
    name = parameter.name
    other = [f"{bot.tuned[name]}{unit} in {bot.bot_id}" for bot in bots if name in bot.tuned]
    return "; ".join([*other, f"default {default}"]) if other else default


def _defaults(strategy: Strategy, parameter: Parameter) -> list[float]:
    """What the strategy says of it; that of an exit rule for each of its symbols."""
    if parameter not in SHARED:
        return [getattr(strategy.params, parameter.name)]
    field = common.FIELDS.get(parameter.name, parameter.name)
    shared = strategy.sizing._asdict() | strategy.pipeline._asdict()
    if field in shared:
        return [shared[field]]
    return [getattr(exits, field) for exits in strategy.exits.values()]
