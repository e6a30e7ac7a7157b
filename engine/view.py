"""The desk as it stands, in values that commands can show: a copy, never the thing itself."""

from dataclasses import dataclass
from decimal import Decimal

from engine import biases, reconcile, staff, stops
from engine.alert import Alert
from engine.bias import Bias
from engine.bot import Bot, BotStatus
from engine.ledger import Ledger
from engine.levels import break_even, net_at
from engine.memory import Memory
from engine.order import Order
from engine.people import Identity, Person
from engine.position import Position
from engine.proposal import Proposal
from engine.schedule import Schedule
from engine.signal import GateResult
from engine.slot import Slot
from engine.strategies.kernel import Bar, Condition
from engine.survey import Difference, Survey


@dataclass(frozen=True, slots=True)
class PositionView:
    """An open position at the last price, with its protection as it stands now.

    `break_even` is where closing costs nothing, `liquidation` about where the exchange takes the
    position away; None where nobody trades the symbol any more. `at_stop` and `at_target` are what
    closing there gains, with the fees of entry and exit. `age` (ms) is until the last candle or
    price, whichever is newer.
    """

    position: Position
    price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    trailing_stop: Decimal | None
    trailing_activation: Decimal | None
    break_even: Decimal | None
    liquidation: Decimal | None
    at_stop: Decimal | None
    at_target: Decimal | None
    age: int

    @property
    def unrealized(self) -> Decimal:
        return self.position.unrealized(self.price)


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """How an account at a real exchange and its books agree; times are UTC ms, 0 is never.

    `armed` says that a person let its real money be traded, `shut` why nothing is opened, `down`
    why the exchange can't be heard, `quarantined` what a person has to look at first, by symbol;
    the others are as in `AccountState`.
    """

    uid: str
    armed: bool
    shut: str
    down: str
    survey: Survey | None
    surveyed_at: int
    synced_until: int
    different: tuple[Difference, ...]
    quarantined: dict[str, str]
    history_until: int
    history_end: int
    history_found: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account's money, in quote currency; `exchange` is None of one on paper."""

    account: str
    bot_id: str
    ledger: Ledger
    unrealized: Decimal
    margin: Decimal
    exchange: ExchangeView | None = None

    @property
    def equity(self) -> Decimal:
        return self.ledger.balance + self.unrealized


@dataclass(frozen=True, slots=True)
class BotView:
    """A bot at work. `missing` are the bars that it needs before it may trade, by symbol, where it
    does; `seen` is how many bars each of its kernels has seen at least; `max_ages` the ages (ms, 0:
    none) at which its positions leave, by symbol; `tuned` the parameters that somebody set; `added`
    says that it can be removed."""

    bot_id: str
    strategy: str
    summary: str
    symbols: tuple[str, ...]
    timeframe: int
    account: str
    status: BotStatus
    missing: dict[str, int]
    seen: int
    max_ages: dict[str, int]
    tuned: dict[str, str]
    added: bool


@dataclass(frozen=True, slots=True)
class WhyView:
    """What one bot thinks of one symbol: its conditions, and each gate's answer right now."""

    bot_id: str
    symbol: str
    ts: int
    price: float
    conditions: tuple[Condition, ...]
    gates: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True)
class CoreView:
    """The core's memory at one moment. `market_time` is the close of the last candle, ms.

    `halted` says why no position may be opened, `sides` in words which sides may be, and
    `disabled` who switched a bot's symbol off, by `bot_id:symbol`. `proposals` are those that
    wait, `sessions` until when (UTC ms) each enrolled person may act. `biases` are those of a model
    in force, which stop entries where it has a `veto`.
    """

    candles: int
    market_time: int
    market_ended: bool
    halted: str
    sides: str
    disabled: dict[str, str]
    prices: dict[str, float]
    bots: tuple[BotView, ...]
    accounts: tuple[AccountView, ...]
    positions: tuple[PositionView, ...]
    open_orders: tuple[Order, ...]
    schedules: tuple[Schedule, ...]
    alerts: tuple[Alert, ...]
    proposals: tuple[Proposal, ...]
    people: tuple[Person, ...]
    identities: tuple[Identity, ...]
    sessions: dict[str, int]
    biases: tuple[Bias, ...]
    veto: bool


def core_view(memory: Memory) -> CoreView:
    desk, office = memory.desk, memory.office
    states = memory.accounts.values()
    return CoreView(
        candles=desk.candles,
        market_time=desk.market_time,
        market_ended=desk.market_ended,
        halted=desk.why_halted,
        sides=staff.said_sides(memory),
        disabled=dict(desk.disabled),
        prices=dict(desk.prices),
        bots=tuple(_bot_view(memory, bot) for bot in memory.bots.values()),
        accounts=tuple(_account_view(memory, bot) for bot in memory.bots.values()),
        positions=tuple(
            _position_view(memory, position)
            for account in memory.accounts
            for position in memory.held(account)
        ),
        open_orders=tuple(order for state in states for order in state.orders.values()),
        schedules=tuple(desk.schedules.values()),
        alerts=tuple(desk.alerts.values()),
        proposals=tuple(office.proposals.values()),
        people=tuple(office.people.values()),
        identities=tuple(office.identities.values()),
        sessions={name: guard.open_until for name, guard in office.security.items()},
        biases=tuple(
            bias for bias in desk.biases.values() if biases.in_force(memory, bias.symbol, desk.now)
        ),
        veto=memory.policy.veto,
    )


def why_view(slot: Slot, bar: Bar, ts: int, gates: tuple[GateResult, ...]) -> WhyView:
    strategy = slot.bot.strategy
    return WhyView(
        bot_id=slot.bot.bot_id,
        symbol=slot.symbol,
        ts=ts,
        price=bar.close,
        conditions=tuple(strategy.explain(slot.params, slot.kernel, bar)),
        gates=gates,
    )


def _bot_view(memory: Memory, bot: Bot) -> BotView:
    return BotView(
        bot_id=bot.bot_id,
        strategy=bot.strategy.name,
        summary=bot.strategy.summary,
        symbols=bot.symbols,
        timeframe=bot.strategy.timeframe,
        account=bot.account,
        status=memory.status(bot),
        missing=_missing(memory, bot),
        seen=min(slot.bars for slot in _slots(memory, bot)),
        max_ages={each: bot.strategy.exits_for(each).max_age_ms for each in bot.symbols},
        tuned={name: bot.strategy.tunable[name].show(value) for name, value in bot.values},
        added=bot.bot_id in memory.desk.added,
    )


def _slots(memory: Memory, bot: Bot) -> list[Slot]:
    return [memory.slot(bot.bot_id, symbol) for symbol in bot.symbols]


def _missing(memory: Memory, bot: Bot) -> dict[str, int]:
    slots = _slots(memory, bot)
    return {slot.symbol: slot.bars_needed - slot.bars for slot in slots if not slot.is_warm}


def _account_view(memory: Memory, bot: Bot) -> AccountView:
    return AccountView(
        account=bot.account,
        bot_id=bot.bot_id,
        ledger=memory.accounts[bot.account].ledger,
        unrealized=memory.unrealized(bot.account),
        margin=memory.margin(bot.account),
        exchange=_exchange_view(memory, bot.account) if memory.policy.surveys else None,
    )


def _exchange_view(memory: Memory, account: str) -> ExchangeView:
    state = memory.accounts[account]
    return ExchangeView(
        uid=state.uid,
        armed=state.uid in memory.desk.armed,
        shut=reconcile.shut(memory, account, ts=memory.desk.now),
        down=state.down,
        survey=state.survey,
        surveyed_at=state.surveyed_at,
        synced_until=state.synced_until,
        different=(*state.different, *state.doubted),
        quarantined=dict(state.quarantined),
        history_until=state.history_until,
        history_end=state.history_end,
        history_found=state.history_found,
    )


def _position_view(memory: Memory, position: Position) -> PositionView:
    entry = memory.accounts[position.account].entries.get(position.symbol)
    rules, fee = memory.instruments.get(position.symbol), memory.policy.taker_fee
    return PositionView(
        position=position,
        price=memory.mark(position.symbol),
        stop_loss=entry.stop_loss if entry else None,
        take_profit=entry.take_profit if entry else None,
        trailing_stop=entry.trailing_stop if entry else None,
        trailing_activation=entry.trailing_activation if entry else None,
        break_even=break_even(position, rules, fee) if rules else None,
        liquidation=stops.liquidation_of(memory, position) if rules else None,
        at_stop=net_at(position, entry.stop_loss, fee) if entry and entry.stop_loss else None,
        at_target=net_at(position, entry.take_profit, fee) if entry and entry.take_profit else None,
        # The clocks of the exchange's prices and executions are not quite one.
        age=max(memory.desk.now - position.opened_at, 0),
    )
