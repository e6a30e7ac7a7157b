"""backtrader: its event loop in Python, stop and target as the orders of a bracket."""

from datetime import UTC, datetime

import backtrader as bt
from rules import Crosses, given, quantity, tell, timed


class Feed(bt.feed.DataBase):
    params = (("timeframe", bt.TimeFrame.Minutes), ("compression", 1))

    def start(self):
        super().start()
        self.rows = zip(*(column.tolist() for column in bars), strict=True)

    def _load(self):
        row = next(self.rows, None)
        if row is None:
            return False
        moment = datetime.fromtimestamp(row[0] / 1000, UTC).replace(tzinfo=None)
        self.lines.datetime[0] = bt.date2num(moment)
        lines = self.lines
        lines.open[0], lines.high[0], lines.low[0], lines.close[0], lines.volume[0] = row[1:]
        lines.openinterest[0] = 0.0
        return True


class Sells(bt.Strategy):
    def __init__(self):
        self.crosses = Crosses(rules)
        self.bracket = []
        self.closed = 0

    def next(self):
        close = self.data.close[0]
        falls, leaves = self.crosses.take(close)
        if self.position:
            if leaves:
                for order in self.bracket[1:]:
                    self.cancel(order)
                self.close()
        elif falls:
            self.bracket = self.sell_bracket(
                size=float(quantity(close, rules)),
                exectype=bt.Order.Market,
                stopprice=close * (1 + rules.stop),
                limitprice=close * (1 - rules.target),
            )

    def notify_trade(self, trade):
        self.closed += trade.isclosed


def run():
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(Feed())
    cerebro.addstrategy(Sells)
    cerebro.broker.setcash(rules.deposit)
    cerebro.broker.setcommission(commission=rules.fee)
    return cerebro, cerebro.run()[0]


bars, rules = given()
seconds, (cerebro, strategy) = timed(run)
tell(bars, seconds, strategy.closed, cerebro.broker.getvalue())
