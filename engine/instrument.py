"""What can be traded: the steps and limits of one perpetual contract."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor

# Absorbs the float error of x / step (about 1e-10 for prices in ticks); the fast backtest
# rounds with the same constant, so that both speeds agree to the step.
ROUNDING_SLACK = 1e-9


def exact(price: float) -> Decimal:
    """A price as its shortest text: what the candle gave, without the binary tail."""
    return Decimal(repr(price))


@dataclass(frozen=True, slots=True)
class Instrument:
    """Trading rules of one linear perpetual, in the units of the exchange.

    Prices are in quote currency, quantities in base currency. `derived` marks rules that
    were read off the data because the symbol is not in the built-in table.
    """

    symbol: str
    tick: Decimal
    quantity_step: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    notional_min: Decimal
    leverage_max: int
    hourly_volume: Decimal
    derived: bool = False

    def price_down(self, price: float) -> Decimal:
        """The highest multiple of the tick that is not above `price`."""
        return floor(price / float(self.tick) + ROUNDING_SLACK) * self.tick

    def price_up(self, price: float) -> Decimal:
        """The lowest multiple of the tick that is not below `price`."""
        return ceil(price / float(self.tick) - ROUNDING_SLACK) * self.tick

    def quantize(self, quantity: float) -> Decimal:
        """The largest tradable quantity that is not above `quantity`; zero when none is."""
        return floor(quantity / float(self.quantity_step) + ROUNDING_SLACK) * self.quantity_step


def _major(
    symbol: str, tick: str, step: str, maximum: str, leverage: int, volume: str
) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick=Decimal(tick),
        quantity_step=Decimal(step),
        quantity_min=Decimal(step),
        quantity_max=Decimal(maximum),
        notional_min=Decimal(5),
        leverage_max=leverage,
        hourly_volume=Decimal(volume),
    )


# Rules of Bybit's USDT perpetuals as published for market orders; hourly volumes are the
# typical ones of the paper engine's impact model, in quote currency.
MAJORS = {
    instrument.symbol: instrument
    for instrument in (
        _major("BTCUSDT", "0.1", "0.001", "119", 100, "50000000"),
        _major("ETHUSDT", "0.01", "0.01", "724", 100, "20000000"),
        _major("SOLUSDT", "0.01", "0.1", "7260", 100, "5000000"),
        _major("BNBUSDT", "0.1", "0.01", "2100", 75, "10000000"),
        _major("XRPUSDT", "0.0001", "0.1", "270000", 75, "10000000"),
        _major("DOGEUSDT", "0.00001", "1", "2850000", 75, "10000000"),
        _major("ADAUSDT", "0.0001", "1", "1100000", 75, "10000000"),
    )
}


def derive(symbol: str, prices: Iterable[str]) -> Instrument:
    """Rules for a symbol outside the table: the tick is the finest step seen in `prices`.

    The quantity step is the power of ten nearest below one unit of quote currency, as
    exchanges choose it.
    """
    sample = [Decimal(price) for price in prices]
    decimals = max((-int(price.normalize().as_tuple().exponent) for price in sample), default=0)
    typical = max(sample, default=Decimal(1))
    step = Decimal(1).scaleb(-max(0, typical.adjusted()))
    return Instrument(
        symbol=symbol,
        tick=Decimal(1).scaleb(-max(0, decimals)),
        quantity_step=step,
        quantity_min=step,
        quantity_max=Decimal(10_000_000),
        notional_min=Decimal(5),
        leverage_max=25,
        hourly_volume=Decimal(10_000_000),
        derived=True,
    )
