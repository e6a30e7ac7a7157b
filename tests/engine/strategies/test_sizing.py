"""How much is traded."""

import pytest

from engine.strategies.shortseller import STRATEGY
from engine.strategies.sizing import Sizing, notional


def test_the_size_is_a_part_of_equity_times_leverage():
    assert notional(Sizing(0.05, 0.07, 10), 10_000.0) == pytest.approx(5_000.0)


def test_no_margin_passes_its_cap():
    assert notional(Sizing(0.5, 0.07, 10), 10_000.0) == pytest.approx(7_000.0)


def test_the_short_seller_binds_five_percent_at_ten_times():
    assert STRATEGY.sizing == Sizing(margin=0.05, margin_cap=0.07, leverage=10)
