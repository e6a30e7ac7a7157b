"""How much is traded."""

import pytest

from engine.strategies.shortseller import STRATEGY
from engine.strategies.sizing import Sizing, notional

USUAL = Sizing(0.05, 0.07, 10)


def test_the_size_is_a_part_of_equity_times_leverage():
    assert notional(USUAL, 10_000.0, 0.0) == pytest.approx(5_000.0)


def test_no_margin_passes_its_cap():
    assert notional(Sizing(0.5, 0.07, 10), 10_000.0, 0.0) == pytest.approx(7_000.0)


def test_a_fixed_size_is_the_same_whatever_the_equity():
    fixed = USUAL._replace(fixed=250.0, risk=0.01)
    assert notional(fixed, 10_000.0, 0.02) == notional(fixed, 300.0, 0.5) == 250.0


@pytest.mark.parametrize(("stop", "size"), [(0.01, 20_000.0), (0.02, 10_000.0), (0.5, 400.0)])
def test_by_risk_the_stop_costs_its_fraction_of_equity(stop, size):
    assert notional(USUAL._replace(risk=0.02), 10_000.0, stop) == pytest.approx(size)
    assert size * stop == pytest.approx(200.0)


def test_risk_without_a_stop_is_sized_by_margin():
    assert notional(USUAL._replace(risk=0.02), 10_000.0, 0.0) == pytest.approx(5_000.0)


@pytest.mark.parametrize(
    "sizing", [USUAL, USUAL._replace(fixed=9_000.0), USUAL._replace(risk=0.02)]
)
def test_no_size_passes_its_share_of_equity(sizing):
    assert notional(sizing._replace(share_cap=0.3), 10_000.0, 0.01) == pytest.approx(3_000.0)
    assert notional(sizing._replace(share_cap=3.0), 10_000.0, 0.01) == pytest.approx(
        notional(sizing, 10_000.0, 0.01)
    )


def test_the_short_seller_binds_five_percent_at_ten_times():
    assert STRATEGY.sizing == Sizing(margin=0.05, margin_cap=0.07, leverage=10)
