"""The HTML report: everything in it, nothing fetched, and no value that is markup."""

import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bot.render.curves import (
    BUCKETS,
    HEIGHT,
    WIDTH,
    Curve,
    framed,
    picture,
    round_step,
    thinned,
)
from bot.render.report import fall, html_report
from engine.backtest.plan import Outcome
from engine.backtest.serial import report_of
from engine.candle import DAY_MS, HOUR_MS
from engine.metrics import TITLES, Mark
from engine.walkforward import Fold, FoldResult, walk_forward
from tests.engine.backtest.outcomes import LOST, T0, WON, outcome

EVIL = '"><script>alert(1)</script>'
# Of 13 px, as wide as any digit of a font without serifs is.
DIGIT_WIDTH = 8.0
VOID = {"meta", "line", "polyline", "br"}


class Page(HTMLParser):
    """A page's texts, tags and attributes; raises for tags that don't close as they opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def walked(made: Outcome) -> object:
    report = report_of(made)
    fold = Fold(T0, T0 + DAY_MS, T0 + DAY_MS, T0 + 2 * DAY_MS)
    return walk_forward(
        [FoldResult(fold, {"distance": 0.01}, report, report)], {"distance": (0, 1)}
    )


@pytest.fixture
def page() -> Page:
    made = outcome()
    held = [Mark(mark.ts, 1000.0 + n) for n, mark in enumerate(made.marks)]
    return Page(html_report(made, held=held, walked=walked(made), footer="countersign 1"))


def test_it_says_everything(page: Page) -> None:
    text = " ".join(page.texts)
    for title in TITLES.values():
        assert title.label in page.texts
    for word in ("BTCUSDT: 1 gap.", "0123456789abcdef", "countersign 1", "BACKTEST", "Walk-forward",
                 "Open at the end", "Earned 12.50 of 1,000.00", "needs 20 trades, has 2",
                 "By weekday", "By hour", "By entry and exit", "By month", "By exit reason",
                 "By entry tag", "By symbol", "By day", "take_profit",
                 "2025-01-01 04:00"):  # fmt: skip
        assert word in text, word
    assert text.count("n/a") > 5


def test_it_holds_two_pictures_of_two_curves(page: Page) -> None:
    styles = [value for name, value in page.attributes if name == "class"]
    assert (styles.count("own"), styles.count("held")) == (2, 2)


def test_without_a_curve_of_holding_there_is_none() -> None:
    page = Page(html_report(outcome()))
    assert "held" not in [value for name, value in page.attributes if name == "class"]
    assert "buy and hold" not in page.texts


def test_nothing_is_fetched_and_nothing_runs(page: Page) -> None:
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert not {"src", "href", "action"} & {name for name, _ in page.attributes}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "default-src 'none'" in str(page.attributes)
    assert "http" not in html_report(outcome()).replace("http-equiv", "")


def test_it_follows_light_and_dark_and_fits_a_phone(page: Page) -> None:
    html = html_report(outcome())
    assert "prefers-color-scheme:dark" in html
    assert "width=device-width" in html
    colors = set(re.findall(r"#[0-9a-f]{3,6}", re.sub(r":root\{[^}]*\}", "", html)))
    assert colors == set()


def test_every_value_is_escaped() -> None:
    strategy = replace(outcome().plan.strategy, name=EVIL)
    made = outcome(
        plan=replace(outcome().plan, strategy=strategy),
        symbols=(EVIL,),
        trips=(WON._replace(symbol=EVIL, entry_tag=EVIL, exit_reason=EVIL), LOST),
        held=tuple(replace(each, symbol=EVIL) for each in outcome().held),
        digest=EVIL,
        remarks=(EVIL,),
    )
    page = Page(html_report(made, badge=EVIL, footer=EVIL))
    assert "script" not in page.tags
    assert sum(EVIL in text for text in page.texts) >= 10


def test_an_outcome_of_nothing_is_a_page_too() -> None:
    made = outcome(trips=(), held=(), remarks=(), marks=(Mark(T0, 1.0), Mark(T0 + 1, 1.0)))
    text = " ".join(Page(html_report(made)).texts)
    assert "No trade was closed." in text
    assert "Nothing was wrong with them." in text


def test_the_same_outcome_makes_the_same_page() -> None:
    assert html_report(outcome(), seed=3) == html_report(outcome(), seed=3)


# -- curves ------------------------------------------------------------------------------


def wave(count: int) -> list[tuple[int, float]]:
    return [(T0 + n * HOUR_MS, float(n % 97) - 40.0) for n in range(count)]


def points_of(svg: str) -> Iterable[tuple[float, float]]:
    for line in ElementTree.fromstring(svg).iter("polyline"):
        for point in line.attrib["points"].split():
            x, y = point.split(",")
            yield float(x), float(y)


def test_every_point_is_inside_the_picture() -> None:
    svg = picture("Equity", [Curve("a", "own", wave(5_000)), Curve("b", "held", wave(9))], str)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points_of(svg))


def test_what_is_later_is_to_the_right_and_what_is_more_is_higher() -> None:
    (x1, y1), (x2, y2) = points_of(picture("x", [Curve("a", "own", [(0, 1.0), (9, 2.0)])], str))
    assert (x1 < x2, y1 > y2) == (True, True)


@pytest.mark.parametrize(
    ("days", "first"),
    [(400, "2025-10-11"), (301, "2025-10-01"), (299, "09-30"), (4, "09-01"), (2, "01. 04:48")],
)
def test_dates_have_a_year_where_there_could_be_two_and_do_not_touch(days: int, first: str) -> None:
    start = 1_756_684_800_000  # 2025-09-01
    points = [(start, 1.0), (start + days * DAY_MS, 2.0)]
    svg = ElementTree.fromstring(picture("x", [Curve("a", "own", points)], str))
    dates = [text for text in svg.iter("text") if text.get("class") == "date"]
    assert dates[0].text == first
    places = [float(text.attrib["x"]) for text in dates]
    widest = max(len(text.text or "") for text in dates) * DIGIT_WIDTH
    assert all(right - left > widest for left, right in pairwise(places))
    assert places[-1] + widest / 2 <= WIDTH


def test_thinning_keeps_both_ends_and_the_extremes() -> None:
    points = wave(50_000)
    points[31_234] = (points[31_234][0], -999.0)
    points[7] = (points[7][0], 999.0)
    kept = thinned(points)
    assert len(kept) <= 2 * BUCKETS + 2
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert {points[31_234], points[7]} <= set(kept)
    assert [ts for ts, _ in kept] == sorted(ts for ts, _ in kept)
    assert thinned(wave(100)) == wave(100)


def test_a_flat_curve_has_a_frame() -> None:
    frame = framed([Curve("a", "own", [(0, 5.0), (1, 5.0)])])
    assert frame.low <= 5.0 <= frame.high
    assert frame.low < frame.high


@pytest.mark.parametrize(
    ("span", "step"), [(10.0, 2.0), (4.9, 1.0), (0.03, 0.01), (2600.0, 1000.0)]
)
def test_lines_stand_on_round_numbers(span: float, step: float) -> None:
    assert round_step(span) == pytest.approx(step)


def test_a_fall_is_counted_from_the_highest_so_far() -> None:
    assert [value for _, value in fall([(0, 100.0), (1, 50.0), (2, 200.0), (3, 150.0)])] == [
        0.0, -0.5, 0.0, -0.25,
    ]  # fmt: skip
