"""freqtrade: its backtest over signals that pandas finds, bar by bar in Python.

The exchange is made without asking it anything: the rules of the one market, which freqtrade
would load over the network, are handed to it.
"""

import contextlib
import io
import logging
from pathlib import Path

import pandas as pd
from freqtrade.enums import RunMode
from freqtrade.exchange import Bybit
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.resolvers import StrategyResolver
from freqtrade.strategy import IStrategy
from rules import crosses, given, quantity, seeded, tell, timed

PAIR = "BTC/USDT:USDT"
HOUR = "1h"
FUNDING_EVERY_S = 8 * 3_600
TIER = {
    "minNotional": 0.0,
    "maxNotional": None,
    "maintenanceMarginRate": 0.005,
    "maxLeverage": 100.0,
    "maintAmt": 0.0,
}
MARKET = {
    "id": "BTCUSDT",
    "symbol": PAIR,
    "base": "BTC",
    "quote": "USDT",
    "settle": "USDT",
    "type": "swap",
    "spot": False,
    "margin": False,
    "swap": True,
    "future": False,
    "contract": True,
    "linear": True,
    "inverse": False,
    "active": True,
    "contractSize": 1.0,
    "precision": {"amount": 0.001, "price": 0.1},
    "limits": {
        "amount": {"min": 0.001, "max": 1e6},
        "cost": {"min": 5.0, "max": None},
        "price": {"min": None, "max": None},
        "leverage": {"min": 1.0, "max": 100.0},
    },
    "info": {},
}


class Sells(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    can_short = True
    startup_candle_count = 0
    process_only_new_candles = False
    use_custom_stoploss = False

    def populate_indicators(self, dataframe, metadata):
        for name in ("fast", "slow"):
            length = getattr(rules, name)
            closes = pd.Series(seeded(dataframe["close"].to_numpy(), length))
            dataframe[name] = closes.ewm(span=length, adjust=False).mean().to_numpy()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_short"] = self._crosses(dataframe)[0].astype(int)
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe["exit_short"] = self._crosses(dataframe)[1].astype(int)
        return dataframe

    def leverage(self, *args, **kwargs):
        return 1.0

    def custom_stake_amount(self, pair, current_time, current_rate, *args, **kwargs):
        return float(quantity(current_rate, rules)) * current_rate

    def _crosses(self, dataframe):
        columns = (dataframe[name].to_numpy() for name in ("close", "fast", "slow"))
        return crosses(*columns, rules)


def settings():
    return {
        "dry_run": True,
        "dry_run_wallet": rules.deposit,
        "runmode": RunMode.BACKTEST,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "stake_currency": "USDT",
        "stake_amount": rules.notional,
        "tradable_balance_ratio": 1.0,
        "max_open_trades": 1,
        "timeframe": "1m",
        "fee": rules.fee,
        "stoploss": -rules.stop,
        "minimal_roi": {"0": rules.target},
        "trailing_stop": False,
        "use_exit_signal": True,
        "exit_profit_only": False,
        "ignore_roi_if_entry_signal": False,
        "exchange": {
            "name": "bybit",
            "key": "",
            "secret": "",
            "pair_whitelist": [PAIR],
            "pair_blacklist": [],
        },
        "pairlists": [{"method": "StaticPairList"}],
        "entry_pricing": {"price_side": "other", "use_order_book": False},
        "exit_pricing": {"price_side": "other", "use_order_book": False},
        "order_types": {
            "entry": "market",
            "exit": "market",
            "stoploss": "market",
            "stoploss_on_exchange": False,
        },
        "strategy": "Sells",
        "datadir": Path(),
        "user_data_dir": Path(),
        "dataformat_ohlcv": "feather",
        "dataformat_trades": "feather",
        "export": "none",
        "candle_type_def": "futures",
        "unfilledtimeout": {"entry": 10, "exit": 10, "unit": "minutes", "exit_timeout_count": 0},
    }


def exchange_of(config):
    exchange = Bybit(config, validate=False)
    exchange._markets = {PAIR: MARKET}
    exchange._leverage_tiers = {PAIR: [TIER]}
    for api in (exchange._api, exchange._api_async):
        api.markets = {PAIR: MARKET}
        api.markets_by_id = {MARKET["id"]: [MARKET]}
    return exchange


def unfunded(dates):
    """Funding of zero beside the mark price, as freqtrade joins them."""
    hours = pd.Series(dates).dt.floor(HOUR).drop_duplicates().reset_index(drop=True)
    return pd.DataFrame({"date": hours, "open_fund": 0.0, "open_mark": 0.0})


def frame():
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    dates = pd.to_datetime(bars.ts.astype("int64"), unit="ms", utc=True)
    return pd.DataFrame({"date": dates, **columns})


def run():
    test = Backtesting(config, exchange)
    strategy = test.strategylist[0]
    test._set_strategy(strategy)
    test.funding_fee_timeframe_secs = FUNDING_EVERY_S
    test.futures_data = {PAIR: unfunded(candles["date"])}
    processed = strategy.advise_all_indicators({PAIR: candles.copy()})
    dates = candles["date"]
    return test.backtest(
        processed=processed,
        start_date=dates.iloc[0].to_pydatetime(),
        end_date=dates.iloc[-1].to_pydatetime(),
    )


logging.disable(logging.CRITICAL)
bars, rules = given()
config = settings()
candles = frame()
StrategyResolver._load_strategy = staticmethod(lambda *args, **kwargs: Sells(config))
exchange = exchange_of(config)
with contextlib.redirect_stdout(io.StringIO()):
    seconds, found = timed(run)
tell(bars, seconds, len(found["results"]), found["final_balance"])
