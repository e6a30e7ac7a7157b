"""backtesting.py: its event loop in Python over arrays that it shows bar by bar."""

from backtesting_strategy import sells
from rules import given, tell, timed

bars, rules = given()
seconds, found = timed(sells(bars, rules).run)
tell(bars, seconds, found["# Trades"], found["Equity Final [$]"])
