"""backtesting.py from a file to its table of results, as a user's own script would do it."""

import json
import sys

import pandas as pd
from backtesting_strategy import sells
from rules import Bars, Rules

frame = pd.read_csv(sys.argv[1])
rules = Rules(**json.loads(sys.argv[2]))
bars = Bars(*(frame[name].to_numpy(float) for name in Bars._fields))
sys.stdout.write(f"{sells(bars, rules).run()}\n")
