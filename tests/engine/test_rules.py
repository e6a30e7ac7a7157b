"""Rules that tighten after bad trades: when they do, how far, and when they let be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.order import Reason, Side
from engine.position import Trade
from engine.rules import TRADES, suggest
from engine.strategies import STRATEGIES
from engine.tunable import Parameter
from engine.tuning import Setting
from engine.tuning_view import ParameterView

HOUR = 3_600_000
# A strategy with a least confidence, one that combines several, and one that is always sure.
OPINION, COMBINED, SURE = "rsi", "combined", "shortseller"


def trade(number: int, net: int) -> Trade:
    """A trade of an hour, entered `number` hours after the beginning of time."""
    money = dict.fromkeys(("gross_pnl", "commission", "funding", "pnl_pct"), Decimal(0))
    return Trade(
        trade_id=number,
        account="a",
        bot_id="b",
        symbol="BTCUSDT",
        side=Side.SELL,
        quantity=Decimal(1),
        entry_price=Decimal(100),
        entry_time=number * HOUR,
        entry_reason=Reason.EMA_CROSS,
        exit_price=Decimal(100),
        exit_time=(number + 1) * HOUR,
        close_reason=Reason.MA_EXIT,
        net_pnl=Decimal(net),
        entry_client_order_id="1",
        exit_client_order_id="2",
        **money,
    )


def trades(wins: int, of: int = TRADES) -> list[Trade]:
    """So many trades, the first of which won."""
    return [trade(number + 1, 5 if number < wins else -5) for number in range(of)]


def known(strategy: str, **given: float) -> dict[str, ParameterView]:
    """All parameters of a strategy, free to go anywhere, with other values of some."""
    tunable = STRATEGIES[strategy].tunable
    return {name: view(each, given.get(name, each.default)) for name, each in tunable.items()}


def view(parameter: Parameter, value: float) -> ParameterView:
    return ParameterView(parameter, value, value, None, 0, parameter.low, parameter.high)


def values(last: Sequence[Trade], views: Mapping[str, ParameterView]) -> dict[str, float]:
    found = suggest(last, views)
    return {name: round(value, 9) for name, value in found.values} if found else {}


def rsi(**given: object) -> dict[str, ParameterView]:
    """The parameters of the strategy with a least confidence, which stands as `given` says."""
    views = known(OPINION, confidence_min=0.60)
    return {**views, "confidence_min": replace(views["confidence_min"], **given)}


@pytest.mark.parametrize(
    ("wins", "wanted"),
    [(10, {}), (5, {}), (4, {"confidence_min": 0.65}), (3, {"confidence_min": 0.70})],
)
def test_the_fewer_won_the_surer_signals_have_to_be(wins: int, wanted: dict[str, float]) -> None:
    assert values(trades(wins), rsi()) == wanted


def test_its_reason_is_what_was_counted() -> None:
    found = suggest(trades(4), rsi())
    assert found is not None
    assert found.reason.startswith("4 of the last 10 trades won")


def test_a_combination_is_tightened_by_its_own_measure() -> None:
    assert values(trades(4), known(COMBINED)) == {"confidence_threshold": 0.70}


def test_where_few_won_a_combination_needs_all_indicators() -> None:
    assert values(trades(3), known(COMBINED)) == {
        "confidence_threshold": 0.75,
        "min_required_indicators": 5.0,
        "agree": 5.0,
    }


def test_what_needs_all_of_them_already_is_let_be() -> None:
    views = known(COMBINED, min_required_indicators=5.0, agree=5.0)
    assert values(trades(3), views) == {"confidence_threshold": 0.75}


def test_it_goes_as_far_as_the_day_allows_and_no_further() -> None:
    assert values(trades(3), rsi(highest=0.64)) == {"confidence_min": 0.64}
    assert values(trades(3), rsi(highest=0.60)) == {}


def test_what_rests_after_its_last_change_is_let_be() -> None:
    assert values(trades(3), rsi(rests_until=99 * HOUR)) == {}


def test_a_strategy_that_is_always_sure_has_nothing_to_tighten() -> None:
    assert values(trades(0), known(SURE)) == {}


def test_a_few_trades_are_no_reason() -> None:
    assert values(trades(0, of=TRADES - 1), rsi()) == {}


def test_only_the_last_trades_count() -> None:
    assert values([*trades(0), *trades(10)], rsi()) == {}


@pytest.mark.parametrize(("changed_at", "tightens"), [(1, True), (2, False)])
def test_only_trades_with_the_values_of_now_count(changed_at: int, tightens: bool) -> None:
    setting = Setting(0.60, 1, changed_at * HOUR, "tom", "", 1)
    assert bool(values(trades(0), rsi(setting=setting))) is tightens
