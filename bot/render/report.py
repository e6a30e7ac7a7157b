"""A backtest as one HTML file: no script, nothing fetched, every value escaped.

It is read in a browser, on a phone or from an archive years later, so all it needs is in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import accumulate, groupby
from typing import Any

from bot.render.curves import Curve, Points, picture
from engine.backtest.plan import Outcome
from engine.backtest.serial import HELD_COLUMNS, TRADE_COLUMNS, held_rows, report_of, trade_rows
from engine.backtest.words import figure, percent, picked, rules, verdict
from engine.candle import timeframe_name
from engine.market.candle_file import utc
from engine.metrics import (
    GROUPINGS,
    Bands,
    Mark,
    Report,
    breakdown,
    daily_returns,
    resampled,
    shuffled_drawdown,
)
from engine.metrics.montecarlo import LEVELS
from engine.strategies.kernel import Strategy
from engine.walkforward import WalkForward

SEED = 42

STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1d2129;--soft:#667085;--rule:#e4e7ec;
--own:#2563eb;--held:#b45309;--gain:#067647;--loss:#b42318;--badge:#fef3c7;--badge-ink:#78350f}
@media(prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1a1f28;--ink:#e6e9ef;--soft:#98a2b3;
--rule:#2c3340;--own:#6ea8fe;--held:#fbbf24;--gain:#4ade80;--loss:#f97066;--badge:#3b2f12;
--badge-ink:#fde68a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1060px;padding:16px;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:.4rem 0}h2{font-size:1.1rem;margin:1.8rem 0 .6rem}
h3{font-size:.95rem;margin:0 0 .4rem}p{margin:.4rem 0}
.badge{display:inline-block;background:var(--badge);color:var(--badge-ink);border-radius:6px;
padding:2px 10px;font-weight:600;font-size:.85rem}
.soft,.why{color:var(--soft);font-size:.85rem}.verdict{font-size:1.05rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:12px}
.card,details{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:12px}
details{margin:8px 0}summary{cursor:pointer;font-weight:600}
.wide{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:600}
th,td{padding:3px 8px;border-bottom:1px solid var(--rule);vertical-align:top}
.wide th,.wide td{white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}.gain{color:var(--gain)}.loss{color:var(--loss)}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:13px}
.tick{text-anchor:end}.date{text-anchor:middle}.grid{stroke:var(--rule)}
polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}.own{stroke:var(--own)}
.held{stroke:var(--held);stroke-dasharray:5 4}
.key{display:inline-block;width:22px;height:0;border-top:3px solid var(--own);margin:0 6px 4px 0}
.key.other{border-top:3px dashed var(--held);margin-left:16px}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

# What of a trade is a moment, and what may be colored by its sign.
TIMES = ("entry_time", "exit_time")
SIGNED = ("gross", "funding", "pnl", "profit")
FRACTIONS = ("adverse", "favorable")


def html_report(
    outcome: Outcome,
    report: Report | None = None,
    *,
    held: Sequence[Mark] = (),
    walked: WalkForward | None = None,
    badge: str = "BACKTEST - no money was traded",
    seed: int = SEED,
    footer: str = "",
) -> str:
    """The page. `held` is the worth of buying and holding at the marks, as
    engine.backtest.hold gives it; `seed` is that of Monte Carlo; `badge` says what this is."""
    report = report or report_of(outcome)
    title = f"{outcome.plan.strategy.name} on {', '.join(outcome.symbols)}"
    parts = [
        _head(outcome, report, title, badge),
        _pictures(outcome, held),
        _metrics(report),
        _walked(walked, outcome.plan.strategy) if walked else "",
        _chance(outcome, seed),
        _breakdowns(outcome),
        _held(outcome),
        _trades(outcome),
        _data(outcome, footer),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(parts)}</body></html>\n"
    )


def _head(outcome: Outcome, report: Report, title: str, badge: str) -> str:
    plan = outcome.plan
    lines = (
        f'<p class="soft">{escape(line)}</p>' for line in rules(plan.strategy, outcome.symbols)
    )
    facts = (
        f"{utc(outcome.start)} to {utc(outcome.end)}",
        f"{timeframe_name(plan.strategy.timeframe)} bars",
        f"{'exact' if plan.exact else 'fast'} backtest",
        f"deposit {plan.deposit:,.2f}",
        f"fee {plan.fee * 100:.4g}%",
        f"slippage {plan.slippage * 100:.4g}%",
        plan.sides.words,
    )
    return (
        f'<header><span class="badge">{escape(badge)}</span><h1>{escape(title)}</h1>'
        f'<p class="verdict">{escape(verdict(outcome, report))}</p>'
        f'<p class="soft">{escape(" · ".join(facts))}</p>'
        f"{''.join(lines)}</header>"
    )


# -- pictures ----------------------------------------------------------------------------


def _pictures(outcome: Outcome, held: Sequence[Mark]) -> str:
    own = [(mark.ts, mark.equity) for mark in outcome.marks]
    other = [(mark.ts, mark.equity) for mark in held]
    keys = '<p class="soft"><span class="key"></span>strategy'
    keys += '<span class="key other"></span>buy and hold</p>' if other else "</p>"
    equity = picture("Equity", _curves(own, other), lambda value: f"{value:,.0f}")
    fallen = picture("Drawdown", _curves(fall(own), fall(other)), lambda v: f"{v * 100:.3g}%")
    return (
        f'<h2>Equity</h2><div class="card">{keys}{equity}</div>'
        f'<h2>Drawdown</h2><div class="card">{fallen}</div>'
    )


def _curves(own: Points, other: Points) -> list[Curve]:
    return [Curve("strategy", "own", own), Curve("buy and hold", "held", other)]


def fall(points: Points) -> Points:
    """How far below its highest so far each point is: fractions, at most 0."""
    peaks = accumulate((value for _, value in points), max)
    return [
        (ts, value / peak - 1.0 if peak > 0.0 else 0.0)
        for (ts, value), peak in zip(points, peaks, strict=True)
    ]


# -- tables ------------------------------------------------------------------------------


def _metrics(report: Report) -> str:
    groups = groupby(report.rows(), key=lambda row: row[1].group)
    cards = []
    for group, rows in groups:
        lines = "".join(
            f"<tr><td>{escape(title.label)}{_why(metric.why)}</td>"
            f'<td class="n">{escape(figure(metric))}</td><td class="n soft">{metric.n:,}</td></tr>'
            for _, title, metric in rows
        )
        cards.append(
            f'<div class="card"><h3>{escape(group)}</h3><table><tr><th></th><th class="n">value'
            f'</th><th class="n">n</th></tr>{lines}</table></div>'
        )
    note = "n is what a figure was made of: days, trades, marks or symbols. n/a has its reason."
    return f'<h2>Metrics</h2><p class="soft">{note}</p><div class="cards">{"".join(cards)}</div>'


def _why(words: str) -> str:
    return f'<div class="why">{escape(words)}</div>' if words else ""


def _chance(outcome: Outcome, seed: int) -> str:
    """The bands of Monte Carlo."""
    nets = [trip.net for trip in outcome.trips]
    days = resampled(daily_returns(outcome.marks), seed=seed)
    shuffled = shuffled_drawdown(nets, outcome.plan.deposit, seed=seed)
    rows = [
        _band("Deepest drawdown, the same trades in another order", shuffled),
        _band("Deepest drawdown, days drawn again in blocks", days.max_drawdown),
        _band("Return, days drawn again in blocks", days.total_return),
    ]
    head = ("", *(f"{level * 100:g}%" for level in LEVELS), "observed", "n", "")
    note = f"{shuffled.runs:,} runs each, seed {seed}: other pasts, about as likely as this one."
    return f'<h2>Chance</h2><p class="soft">{note}</p>{_table(head, rows)}'


def _band(name: str, bands: Bands) -> tuple[str, ...]:
    values = [percent(value) for value in bands.values] or ["n/a"] * len(LEVELS)
    observed = "n/a" if bands.observed is None else percent(bands.observed)
    return (name, *values, observed, f"{bands.n:,}", bands.why)


def _breakdowns(outcome: Outcome) -> str:
    if not outcome.trips:
        return ""
    head = ("", "trades", "wins", "losses", "win rate", "profit factor", "mean", "fees", "funding",
            "net")  # fmt: skip
    parts = []
    for by in GROUPINGS:
        rows = [
            (
                row.key, f"{row.trades:,}", f"{row.wins:,}", f"{row.losses:,}",
                figure(row.win_rate), figure(row.profit_factor), f"{row.mean:,.2f}",
                f"{row.fees:,.2f}", f"{row.funding:,.2f}", f"{row.net:,.2f}",
            )
            for row in breakdown(outcome.trips, by)
        ]  # fmt: skip
        name = "entry and exit" if by == "mixed" else by.replace("_", " ")
        parts.append(f"<details><summary>By {escape(name)}</summary>{_table(head, rows)}</details>")
    return f"<h2>Breakdown</h2>{''.join(parts)}"


def _walked(walked: WalkForward, strategy: Strategy) -> str:
    rows = [
        (
            utc(each.fold.test_start)[:10],
            utc(each.fold.test_end)[:10],
            figure(each.in_sample["return"]),
            figure(each.out_of_sample["return"]),
            figure(each.in_sample["sharpe"]),
            figure(each.out_of_sample["sharpe"]),
            picked(strategy, each.parameters),
        )
        for each in walked.outcomes
    ]
    head = ("unseen from", "to", "training", "unseen", "Sharpe training", "Sharpe unseen", "picks")
    spread = ", ".join(f"{name} {figure(metric)}" for name, metric in walked.spread.items())
    words = (
        f"Unseen together {figure(walked.total_return)}; profitable folds "
        f"{figure(walked.profitable)}; efficiency {figure(walked.efficiency)} "
        f"{walked.efficiency.why}; spread of the picks over their ranges: {spread}."
    )
    return f"<h2>Walk-forward</h2><p>{escape(words)}</p>{_table(head, rows)}"


def _held(outcome: Outcome) -> str:
    rows = [_cells(HELD_COLUMNS, row) for row in held_rows(outcome)]
    return f"<h2>Open at the end</h2>{_table(_titles(HELD_COLUMNS), rows)}" if rows else ""


def _trades(outcome: Outcome) -> str:
    rows = [_cells(TRADE_COLUMNS, row) for row in trade_rows(outcome)]
    table = _table(_titles(TRADE_COLUMNS), rows) if rows else "<p>No trade was closed.</p>"
    return f"<h2>Trades</h2><details><summary>All {len(rows):,}</summary>{table}</details>"


def _data(outcome: Outcome, footer: str) -> str:
    remarks = "".join(f"<li>{escape(each)}</li>" for each in outcome.remarks)
    said = f"<ul>{remarks}</ul>" if remarks else "<p>Nothing was wrong with them.</p>"
    words = (
        f"{outcome.bars:,} candles of {timeframe_name(outcome.interval)}, hash {outcome.digest}. "
        f"{footer}"
    )
    return f'<h2>Candles</h2>{said}<p class="soft">{escape(words)}</p>'


def _titles(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in columns)


def _cells(columns: Sequence[str], row: Sequence[Any]) -> tuple[str, ...]:
    return tuple(_cell(name, value) for name, value in zip(columns, row, strict=True))


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in TIMES:
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M}"
    if name in FRACTIONS:
        return percent(value)
    if name in SIGNED or name in ("fee", "slippage", "risk"):
        return f"{value:,.2f}"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    signed = {place for place, name in enumerate(head) if name in (*SIGNED, "net", "mean")}
    titles = "".join(f"<th{_number(i)}>{escape(name)}</th>" for i, name in enumerate(head))
    lines = "".join(f"<tr>{''.join(_columns(row, signed))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{titles}</tr>{lines}</table></div>'


def _columns(row: Sequence[str], signed: set[int]) -> Iterator[str]:
    for place, cell in enumerate(row):
        sign = ("loss" if cell.startswith("-") else "gain") if place in signed else ""
        yield f"<td{_number(place, sign)}>{escape(cell)}</td>"


def _number(place: int, sign: str = "") -> str:
    """Classes of a cell: all but the first column stand at the right."""
    classes = " ".join(filter(None, ("n" if place else "", sign)))
    return f' class="{classes}"' if classes else ""
