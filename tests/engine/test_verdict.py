"""The checks of a study, each alone, and what they say."""

import pytest

from engine.tuning import Figures
from engine.verdict import CHECKS, Proof, disagreement, proposed, verdict

BEFORE = Figures(0.02, 0.10, 0.2, 80, 30)
AFTER = Figures(0.40, 0.12, 1.8, 90, 50)
GOOD = Proof(
    trials=120, changed=True, before=BEFORE, after=AFTER, sure=0.99, deflated=0.98, neighbors=0.9
)


def test_values_that_pass_all_checks_are_proposed_with_their_numbers() -> None:
    assert verdict(GOOD) == ""
    assert proposed(GOOD) == (
        "Out of sample +40.0% at a Sharpe ratio of 1.80 in 90 trades, against +2.0% at 0.20 with "
        "the values in force; the best of 120 sets."
    )


FAULTS = [
    ({"changed": False}, "Nothing better was found: of 120 sets the values in force are the best."),
    ({"after": AFTER._replace(trades=29)}, "closed 29 trades out of sample, and it takes 30"),
    ({"after": AFTER._replace(total_return=0.02)}, "returned +2.00% out of sample after costs"),
    (
        {"before": BEFORE._replace(total_return=-0.5), "after": AFTER._replace(total_return=-0.1)},
        "returned -10.00% out of sample after costs, those in force -50.00%",
    ),
    ({"after": AFTER._replace(sharpe=0.4)}, "Sharpe ratio of 0.40 out of sample"),
    ({"after": AFTER._replace(sharpe=None)}, "Sharpe ratio of none out of sample"),
    ({"sure": 0.89}, "89% probable out of sample, and it takes 90%"),
    ({"deflated": 0.5}, "After 120 trials the Sharpe ratio of the best values is above zero"),
    ({"neighbors": 0.49}, "their neighbors keep 49% of the Sharpe ratio, and it takes 50%"),
    ({"after": AFTER._replace(max_drawdown=0.18)}, "fell by 18.0% out of sample, those in force"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_each_fault_alone_stops_a_proposal_and_is_named(change, said: str) -> None:
    assert said in verdict(GOOD._replace(**change))


def test_every_check_has_a_fault_here() -> None:
    found = {check for change, _ in FAULTS for check in CHECKS if check(GOOD._replace(**change))}
    assert found == set(CHECKS)


def test_a_sharpe_ratio_below_zero_before_does_not_lower_the_bar() -> None:
    worse = BEFORE._replace(total_return=-0.9, sharpe=-4.0)
    assert "better by 0.3" in verdict(GOOD._replace(before=worse, after=AFTER._replace(sharpe=0.2)))
    assert verdict(GOOD._replace(before=worse._replace(sharpe=None))) == ""


@pytest.mark.parametrize(
    ("exact", "agrees"),
    [
        (AFTER, True),
        (AFTER._replace(total_return=0.403, trades=91), True),
        (AFTER._replace(total_return=0.41), False),
        (AFTER._replace(trades=95), False),
    ],
)
def test_the_exact_backtest_has_to_agree(exact: Figures, agrees: bool) -> None:
    said = disagreement(AFTER, exact)
    assert (said == "") is agrees
    if not agrees:
        assert f"{exact.total_return:+.2%} in {exact.trades} trades" in said
