"""What may be set of limits and hard caps, and within which bounds."""

from decimal import Decimal
from pathlib import Path

import pytest

from bot.risk_settings import CapsSection, RiskSection
from bot.settings import effective, load
from engine.candle import HOUR_MS
from engine.errors import BadSettings
from engine.limits import NO_LIMITS, USUAL_LIMITS, Caps, Ladder

D = Decimal


def loaded(folder: Path, text: str) -> tuple[RiskSection, CapsSection]:
    (folder / "countersign.toml").write_text(text)
    settings = load({}, folder)
    return settings.risk, settings.caps


def test_without_a_word_the_usual_limits_are_in_force(tmp_path: Path) -> None:
    risk, caps = loaded(tmp_path, "")
    assert risk.limits() == USUAL_LIMITS
    assert caps.caps() == Caps(orders_a_minute=60)


def test_shares_are_written_in_percent_or_as_fractions(tmp_path: Path) -> None:
    text = '[risk]\nday_halves = "1.5%"\nday_stops = 0.025\nmargin_level = "250%"\n'
    limits = loaded(tmp_path, text)[0].limits()
    assert limits.day == Ladder(D("0.015"), D("0.025"))
    assert limits.margin_level == D("2.5")


def test_times_are_in_the_unit_of_their_name(tmp_path: Path) -> None:
    text = "[risk]\nlosses_rest_min = 120\nstop_outs_lock_h = 6\nlosers_days = 1\nfailures_s = 60\n"
    limits = loaded(tmp_path, text)[0].limits()
    assert limits.losses_rest_ms == 2 * HOUR_MS
    assert limits.stop_outs_lock_ms == 6 * HOUR_MS
    assert limits.losers_ms == 24 * HOUR_MS
    assert limits.failures_ms == 60_000


LADDERS = [
    f"{span}_{step}"
    for span in ("day", "week", "month", "drawdown")
    for step in ("halves", "stops")
]
OTHERS = ["losses", "one_way", "open_risk", "positions", "margin_level", "stop_outs", "losers"]
SWITCHES = [*OTHERS, "failures", "price_off"]


def test_zero_switches_each_layer_off(tmp_path: Path) -> None:
    zeros = "".join(f"{name} = 0\n" for name in [*LADDERS, *SWITCHES])
    limits = loaded(tmp_path, f"[risk]\nstop_first = false\n{zeros}")[0].limits()
    assert not limits.ladders
    for name in (*SWITCHES, "stop_first"):
        assert getattr(limits, name) == getattr(NO_LIMITS, name)


def test_caps_are_taken_as_they_stand(tmp_path: Path) -> None:
    text = (
        "[caps]\norder_value = 1000\ngross_exposure = 5000.5\nleverage = 3\norders_a_minute = 0\n"
    )
    assert loaded(tmp_path, text)[1].caps() == Caps(
        order_value=D(1000), gross_exposure=D("5000.5"), leverage=3
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[risk]\nday_stops = 3", "risk.day_stops: 3 is not valid; less than or equal to 0.5."),
        (
            '[risk]\nday_stops = "three%"',
            "risk.day_stops: 'three%' is not valid; allowed: a share such as \"2%\" or 0.02.",
        ),
        (
            '[risk]\nweek_halves = "8%"',
            "risk.week_halves: '8%' is not valid; allowed: 0 to week_stops, 7.00%.",
        ),
        ("[risk]\nlosses = -1", "risk.losses: -1 is not valid; greater than or equal to 0."),
        ("[risk]\none_way_from = 1", "risk.one_way_from: 1 is not valid; greater than or"),
        ("[risk]\nfailures_s = 0", "risk.failures_s: 0 is not valid; greater than or equal to 1."),
        (
            "[risk]\ndaystops = 1",
            "risk.daystops: there is no such setting. Did you mean day_stops?",
        ),
        ("[caps]\norder_value = -1", "caps.order_value: -1 is not valid; greater than or equal"),
        ('[caps]\ndaily_loss = "nan"', "caps.daily_loss: 'nan' is not valid; a finite number."),
        ("[caps]\nleverage = 201", "caps.leverage: 201 is not valid; less than or equal to 200."),
        ("[caps]\nmoney = 1", "caps.money: there is no such setting."),
    ],
)
def test_what_can_not_be_is_refused_with_what_is_allowed(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(BadSettings) as refused:
        loaded(tmp_path, text)
    assert str(refused.value).startswith(complaint)


def test_the_settings_in_force_show_limits_and_caps(tmp_path: Path) -> None:
    (tmp_path / "countersign.toml").write_text('[risk]\nday_stops = "4%"\n[caps]\nleverage = 5\n')
    shown = effective(load({}, tmp_path), "a market")
    assert shown["risk"]["day_stops"] == "0.04"
    assert shown["caps"]["leverage"] == "5"
