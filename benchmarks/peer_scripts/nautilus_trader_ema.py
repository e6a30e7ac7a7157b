"""nautilus_trader: its event-driven engine, stop and target as orders at its own exchange.

Its bars are stamped with their close, and a market order given on a bar fills at that close,
which is the open of the next in these bars.
"""

from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, OrderType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy
from rules import Crosses, given, quantity, tell, timed

VENUE = Venue("SIM")
MINUTE_MS = 60_000
NS_A_MS = 1_000_000


def perpetual(fee):
    return CryptoPerpetual(
        instrument_id=InstrumentId(Symbol("BTCUSDT"), VENUE),
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=1,
        size_precision=3,
        price_increment=Price.from_str("0.1"),
        size_increment=Quantity.from_str("0.001"),
        margin_init=Decimal("0.1"),
        margin_maint=Decimal("0.05"),
        maker_fee=Decimal(str(fee)),
        taker_fee=Decimal(str(fee)),
        ts_event=0,
        ts_init=0,
    )


class Sells(Strategy):
    def __init__(self):
        super().__init__()
        self.crosses = Crosses(rules)
        self.bracket = None
        self.position_id = None
        self.opened = 0

    def on_start(self):
        self.subscribe_bars(kind)

    def on_position_opened(self, event):
        self.position_id = event.position_id
        self.opened += 1

    def on_position_closed(self, event):
        self.position_id = None

    def on_bar(self, bar):
        close = bar.close.as_double()
        falls, leaves = self.crosses.take(close)
        if self.position_id is not None:
            if leaves:
                self.leave()
        elif falls:
            self.bracket = self.order_factory.bracket(
                instrument_id=instrument.id,
                order_side=OrderSide.SELL,
                quantity=instrument.make_qty(float(quantity(close, rules))),
                sl_trigger_price=instrument.make_price(close * (1 + rules.stop)),
                tp_order_type=OrderType.LIMIT,
                tp_price=instrument.make_price(close * (1 - rules.target)),
                tp_post_only=False,
            )
            self.submit_order_list(self.bracket)

    def leave(self):
        for order in self.bracket.orders[1:]:
            if not order.is_closed:
                self.cancel_order(order)
        self.close_position(self.cache.position(self.position_id))


def made_bars():
    rows = zip(*(column.tolist() for column in bars), strict=True)
    for ts, open_, high, low, close, volume in rows:
        closed = int(ts + MINUTE_MS) * NS_A_MS
        prices = (Price(value, 1) for value in (open_, high, low, close))
        yield Bar(kind, *prices, Quantity(volume, 3), closed, closed)


bars, rules = given()
instrument = perpetual(rules.fee)
kind = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
engine.add_venue(
    venue=VENUE,
    oms_type=OmsType.NETTING,
    account_type=AccountType.MARGIN,
    base_currency=USDT,
    starting_balances=[Money(rules.deposit, USDT)],
    default_leverage=Decimal(10),
)
engine.add_instrument(instrument)
engine.add_data(list(made_bars()))
strategy = Sells()
engine.add_strategy(strategy)
seconds, _ = timed(engine.run)
account = engine.cache.account_for_venue(VENUE)
tell(bars, seconds, strategy.opened, account.balance_total(USDT).as_double())
