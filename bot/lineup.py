"""Which bots a desk runs on its market, and what of the settings does not take effect there."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from bot.settings import TOML_NAME, Settings
from engine.bot import Bot, BotPlan
from engine.candle import MINUTE_MS
from engine.errors import BadInput, BadSettings
from engine.plans import candles_needed, made, strategy_of, unfit
from engine.ports import Market, Store
from engine.position import Position
from engine.strategies.kernel import Strategy
from engine.tuning import DESK_SCOPE
from engine.tuning_view import TuningView
from engine.view import CoreView

# Live candles beyond those that strategies need: averages settle, charts have a past.
WARMUP_SPARE = 400
# A live market's own candles: what every strategy's are built of.
LIVE_INTERVAL = 5 * MINUTE_MS

THE_DESK = "the desk"


def planned(settings: Settings, added: Mapping[str, BotPlan]) -> dict[str, BotPlan]:
    """The bots of the settings and those that people added, by id.

    Raises BadSettings for an id that is both: its books would be two bots'.
    """
    own = {bot.id: bot.plan(settings.strategies) for bot in settings.bots}
    for bot_id in own:
        if bot_id in added:
            raise BadSettings(
                f"bots {bot_id} id: a bot of that id was added from chat. Allowed: another id, or "
                f"/bot remove {bot_id} before."
            )
    return own | dict(added)


def fit_bots(
    settings: Settings, market: Market, plans: Mapping[str, BotPlan]
) -> tuple[list[Bot], list[str]]:
    """The bots that this market can carry, and what was left out, in sentences."""
    bots: list[Bot] = []
    remarks: list[str] = []
    for bot_id, plan in plans.items():
        traded = tuple(symbol for symbol in plan.symbols if symbol in market.symbols)
        missing = [symbol for symbol in plan.symbols if symbol not in market.symbols]
        here = replace(plan, symbols=traded)
        try:
            bot = made(bot_id, here, settings.strategies, books(settings, market))
        except BadInput as error:
            remarks.append(f"{bot_id} does not trade, its books stay as they are: {error}")
            continue
        if refusal := unfit(bot.strategy, market.interval):
            remarks.append(f"{bot_id}: {refusal} The bot does not trade here.")
            continue
        if missing:
            remarks.append(f"{bot_id}: this market has no {', '.join(missing)}; left out.")
        if traded:
            bots.append(bot)
    return bots, remarks


def symbols_of(plans: Iterable[BotPlan]) -> list[str]:
    """Every symbol that a bot trades, once."""
    return list(dict.fromkeys(symbol for plan in plans for symbol in plan.symbols))


def tuned_plans(
    plans: Mapping[str, BotPlan],
    tuned: Mapping[str, Mapping[str, float]],
    known: Mapping[str, Strategy],
) -> list[BotPlan]:
    """The plans with the values that were tuned (by bot), as far as today's strategies have a
    place for them: longer averages take more candles to warm up on."""
    found = []
    for bot_id, plan in plans.items():
        tunable = known[plan.strategy].tunable if plan.strategy in known else {}
        values = dict(plan.values)
        for name, value in tuned.get(bot_id, {}).items():
            with suppress(KeyError, BadInput):
                values[name] = tunable[name].check(value)
        found.append(replace(plan, values=tuple(values.items())))
    return found


def warmup_bars(plans: Iterable[BotPlan], known: Mapping[str, Strategy]) -> int:
    """How many live candles the slowest strategy needs before it may trade."""
    strategies = [strategy_of(plan, known) for plan in plans if plan.strategy in known]
    slowest = max((candles_needed(each, LIVE_INTERVAL) for each in strategies), default=0)
    return slowest + WARMUP_SPARE


def books(settings: Settings, market: Market) -> str:
    """What the accounts on this market begin with."""
    return f"{settings.mode}-{market.name}"


def without_effect(
    bots: list[Bot], view: CoreView, market: Market, strays: list[Position]
) -> list[str]:
    """What was set differently from what these books were opened with, in sentences."""
    remarks = []
    if view.market_ended and market.caught_up and market.name.startswith("replay"):
        remarks.append(
            "This replay was run to its end before; nothing is traded again. Another DATA_DIR "
            "runs it afresh, with the settings of now."
        )
    remarks.extend(
        f"{held.bot_id} holds {held.quantity.normalize():f} {held.symbol}, which it is not set to "
        "trade: its stop and target stand, nothing else closes it."
        for held in strays
    )
    opened = {account.bot_id: account.ledger.deposit for account in view.accounts}
    remarks.extend(
        f"{bot.bot_id}: capital {bot.capital:f} is set, but its books were opened with "
        f"{opened[bot.bot_id]:f}, which stays. Another DATA_DIR opens new books."
        for bot in bots
        if opened[bot.bot_id] != bot.capital
    )
    return remarks


def tuned_above(settings: Settings, tuning: TuningView) -> Iterator[str]:
    """Where a value in countersign.toml differs from one that was tuned, and which of these have
    no place any more, in sentences."""
    for scope, name, value, why in tuning.dropped:
        yield f"{scope or THE_DESK}: {name} was tuned to {value:.10g}, which is dropped: {why}"
    written = {bot.id: set(bot.params) for bot in settings.bots}
    # There some limits are named with their unit: `losses_rest_min`.
    limits = settings.risk.model_fields_set
    written[DESK_SCOPE] = limits | {name.rpartition("_")[0] for name in limits}
    for scope, names in written.items():
        known = tuning.scopes[scope].parameters if scope in tuning.scopes else {}
        for view in known.values():
            if view.parameter.name in names and view.is_set and view.value != view.base:
                show, whose = view.parameter.show, scope or THE_DESK
                yield (
                    f"{whose}: {view.parameter.name} = {show(view.base)} is set in {TOML_NAME}, "
                    f"but it was tuned to {show(view.value)}, which stands: "
                    f"/tune show {view.parameter.name}."
                )


async def left_behind(
    store: Store, settings: Settings, bots: list[Bot], market: Market
) -> list[str]:
    """Positions on this market of bots that the settings no longer name, in sentences."""
    ours = {bot.account for bot in bots}
    here = f"{books(settings, market)}-"
    return [
        f"{position.bot_id} holds {position.quantity.normalize():f} {position.symbol} and is not "
        "in the settings any more: nothing manages it. Put the bot back to close it."
        for position in await store.recent(Position)
        if position.account.startswith(here)
        and position.account not in ours
        and not position.is_flat
    ]
