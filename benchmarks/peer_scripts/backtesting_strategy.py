"""The rules for backtesting.py.

It trades whole units only, so a unit is one step of the quantity here.
"""

import pandas as pd
from backtesting import Backtest, Strategy
from rules import crosses, quantity, seeded


def sells(bars, rules):
    """The backtest, ready to be run."""
    frame = pd.DataFrame(
        {
            name.capitalize(): getattr(bars, name) * rules.step
            for name in ("open", "high", "low", "close")
        },
        index=pd.to_datetime(bars.ts.astype("int64"), unit="ms"),
    )
    frame["Volume"] = bars.volume
    return Backtest(
        frame,
        strategy(bars, rules),
        cash=rules.deposit,
        commission=rules.fee,
        finalize_trades=True,
    )


def strategy(bars, rules):
    class Crosses(Strategy):
        def init(self):
            close = bars.close
            fast, slow = average(close, rules.fast), average(close, rules.slow)
            falls, leaves = crosses(close, fast, slow, rules)
            units = (quantity(close, rules) / rules.step).round()
            self.falls = self.I(lambda: falls.astype(float))
            self.leaves = self.I(lambda: leaves.astype(float))
            self.units = self.I(lambda: units)

        def next(self):
            if self.position:
                if self.leaves[-1]:
                    self.position.close()
            elif self.falls[-1]:
                close = self.data.Close[-1]
                self.sell(
                    size=int(self.units[-1]),
                    sl=close * (1 + rules.stop),
                    tp=close * (1 - rules.target),
                )

    return Crosses


def average(close, length):
    return pd.Series(seeded(close, length)).ewm(span=length, adjust=False).mean().to_numpy()
