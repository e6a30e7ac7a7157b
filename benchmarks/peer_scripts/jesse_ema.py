"""jesse: its research backtest on minutes, without its database or server.

A market order fills at the close it is given on, which is the open of the next in these bars.
"""

import numpy as np
from jesse.research import backtest
from jesse.strategies import Strategy
from rules import Crosses, given, quantity, tell, timed

EXCHANGE = "Bybit USDT Perpetual"
SYMBOL = "BTC-USDT"


class Sells(Strategy):
    def __init__(self):
        super().__init__()
        self.crosses = Crosses(rules)
        self.falls = self.leaves = False

    def before(self):
        self.falls, self.leaves = self.crosses.take(self.close)

    def should_long(self):
        return False

    def go_long(self):
        pass

    def should_short(self):
        return self.falls

    def go_short(self):
        size = float(quantity(self.close, rules))
        self.sell = size, self.close
        self.stop_loss = size, self.close * (1 + rules.stop)
        self.take_profit = size, self.close * (1 - rules.target)

    def should_cancel_entry(self):
        return True

    def update_position(self):
        if self.leaves:
            self.liquidate()


def run():
    columns = (bars.ts, bars.open, bars.close, bars.high, bars.low, bars.volume)
    return backtest(
        {
            "starting_balance": rules.deposit,
            "fee": rules.fee,
            "type": "futures",
            "simulation_model": "perpetual_futures",
            "annualization": 365,
            "futures_leverage": 10,
            "futures_leverage_mode": "cross",
            "exchange": EXCHANGE,
            "warm_up_candles": 0,
        },
        [{"exchange": EXCHANGE, "strategy": Sells, "symbol": SYMBOL, "timeframe": "1m"}],
        [],
        {
            f"{EXCHANGE}-{SYMBOL}": {
                "exchange": EXCHANGE,
                "symbol": SYMBOL,
                "candles": np.column_stack(columns),
            }
        },
    )


bars, rules = given()
seconds, found = timed(run)
metrics = found["metrics"]
tell(bars, seconds, metrics["total"], metrics["finishing_balance"])
