"""What a stock-take found, as a table (`table`) and as a page of its own (`page`). Pure.

The page needs nothing from anywhere: its style and its chart, the largest differences as bars, are in it. Everything
that came from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from html import escape

from sheets_sync import stocktake
from sheets_sync.model import Cell
from sheets_sync.stocktake import Line
from sheets_sync.tally import Totals

HEADER = (
    "SKU", "Counted", "Counted at", "Expected", "Difference", "Packed apart", "On hand after", "Cost",
    "Value of the difference", "Rows", "What was seen",
)  # fmt: skip
BARS = 30
MOST = 1_000
"""Differences and flagged rows that a page lists; the table has all of them."""


@dataclass(frozen=True)
class Report:
    """A stock-take as it is told: counts, rows that do not count, SKUs that nobody counted."""

    title: str
    at: datetime
    zone: tzinfo
    totals: Totals
    lines: Sequence[Line]
    flags: Mapping[int, str]  # row -> why it does not count
    codes: Mapping[int, Cell]  # row -> what it names
    missing: Sequence[str]
    posted: bool
    notes: Sequence[str] = ()  # what keeps it from being posted, how the file was read


def table(report: Report) -> Iterator[tuple[object, ...]]:
    """The rows of a CSV file, its header first: the largest differences, then the rest, then what does not count."""
    yield HEADER
    for line in _by_size(report.lines):
        take = line.take
        value = None if take.cost is None or line.difference is None else take.cost * line.difference
        said = stocktake.said(line, report.zone, report.at, posted=report.posted)
        yield (
            take.sku, take.units, take.at.astimezone(report.zone).isoformat(timespec="seconds"), line.expected,
            line.difference, line.apart or None, line.now, take.cost, value, " ".join(map(str, take.rows)), said,
        )  # fmt: skip
    for row, why in sorted(report.flags.items()):
        yield (report.codes.get(row), None, None, None, None, None, None, None, None, row, why.removeprefix("? "))
    for sku in report.missing:
        yield (sku, None, None, None, None, None, None, None, None, None, "not counted")


def _by_size(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (-abs(line.difference or 0), line.take.sku))


# the page -------------------------------------------------------------------------------------------------------

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1f2933 }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
dl { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.2rem 0 }
dt { color: #52606d; font-size: .85rem } dd { margin: 0; font-size: 1.4rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #e4e7eb; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.note { background: #fff8e1; padding: .6rem 1rem }
svg text { font: 12px system-ui, sans-serif; fill: #1f2933 }
.up { fill: #2f7d4f } .down { fill: #b83a34 } .axis { stroke: #9aa5b1 }
@media print { body { margin: 0; max-width: none } }
"""


def page(report: Report) -> str:
    """The whole page, as HTML."""
    differ = [line for line in _by_size(report.lines) if line.difference]
    parts = [
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{'Posted' if report.posted else 'Not posted'}, as of {_time(report.at, report.zone)}.</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in report.notes),
        _figures(report.totals),
        "<h2>The largest differences</h2>",
        _chart(differ[:BARS]) if differ else "<p>Everything is as expected.</p>",
        _differences(report, differ),
        _flagged(report),
        _missing(report.missing),
    ]
    head = f'<meta charset="utf-8"><title>{escape(report.title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _time(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def _figures(totals: Totals) -> str:
    named: list[tuple[str, str]] = [
        ("Rows", f"{totals.rows:,}"), ("SKUs counted", f"{totals.skus:,}"), ("SKUs that differ", f"{totals.differ:,}"),
        ("Units up", f"{totals.up:,}"), ("Units down", f"{totals.down:,}"), ("Rows flagged", f"{totals.flagged:,}"),
    ]  # fmt: skip
    if totals.value is not None:
        named.append(("Value of the differences", f"{totals.value:+,}"))
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{figure}</dd></div>" for name, figure in named) + "</dl>"


def _chart(lines: Sequence[Line]) -> str:
    """A bar a SKU: to the right what was found, to the left what was missing."""
    most = max(abs(line.difference or 0) for line in lines)
    left, half, high = 180, 330, 22
    middle, height = left + half, high * len(lines)
    out = [f'<line class="axis" x1="{middle}" x2="{middle}" y1="0" y2="{height}"/>']
    for at, line in enumerate(lines):
        units, y = line.difference or 0, at * high
        wide = max(1.0, (half - 60) * abs(units) / most)
        x = middle if units > 0 else middle - wide
        text_at, anchor = (middle + wide + 6, "start") if units > 0 else (middle - wide - 6, "end")
        sku = line.take.sku if len(line.take.sku) <= 24 else f"{line.take.sku[:23]}\u2026"
        out.append(
            f'<g><title>{escape(line.take.sku)}: {units:+}</title><text x="0" y="{y + 15}">{escape(sku)}</text>'
            f'<rect class="{"up" if units > 0 else "down"}" x="{x:.1f}" y="{y + 3}" width="{wide:.1f}" '
            f'height="{high - 6}"/><text x="{text_at:.1f}" y="{y + 15}" text-anchor="{anchor}">{units:+,}</text></g>'
        )
    said = "Bars: to the right units more than expected, to the left units fewer"
    return (
        f'<svg role="img" aria-label="{said}" viewBox="0 0 {middle + half} {height}" width="100%">{"".join(out)}</svg>'
    )


def _differences(report: Report, differ: Sequence[Line]) -> str:
    if not differ:
        return ""
    rows = "".join(
        f'<tr><td>{escape(n.take.sku)}</td><td class="n">{n.expected:,}</td><td class="n">{n.take.units:,}</td>'
        f'<td class="n">{n.difference:+,}</td>'
        f"<td>{escape(stocktake.said(n, report.zone, report.at, posted=report.posted))}</td></tr>"
        for n in differ[:MOST]
    )
    more = f"<p>{len(differ) - MOST:,} more stand in the CSV file.</p>" if len(differ) > MOST else ""
    names = "".join(f'<th class="n">{name}</th>' for name in ("Expected", "Counted", "Difference"))
    head = f"<tr><th>SKU</th>{names}<th></th></tr>"
    return f"<h2>All differences</h2><table>{head}{rows}</table>{more}"


def _flagged(report: Report) -> str:
    if not report.flags:
        return ""
    rows = "".join(
        f'<tr><td class="n">{row}</td><td>{escape(str(report.codes.get(row) or ""))}</td>'
        f"<td>{escape(why.removeprefix('? '))}</td></tr>"
        for row, why in sorted(report.flags.items())[:MOST]
    )
    return (
        f'<h2>Rows that do not count</h2><table><tr><th class="n">Row</th><th>SKU</th><th>Why</th></tr>{rows}</table>'
    )


def _missing(skus: Sequence[str]) -> str:
    if not skus:
        return ""
    few = ", ".join(map(escape, skus[:MOST])) + (" and more" if len(skus) > MOST else "")
    return f"<h2>Not counted</h2><p>{stocktake.many(len(skus), 'SKU')} with stock: {few}</p>"
