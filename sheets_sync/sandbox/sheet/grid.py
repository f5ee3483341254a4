"""Workbooks as values: a batch works on a copy of what it touches, so a refused batch leaves nothing behind.

A tab is a few parallel lists, one entry a row. The entries themselves (a row's values, its style, its formulas) are
shared between copies and never changed in place; a new row takes the place of the old. So copying a tab costs a few
lists of references, readers need no lock, and an unformatted row is already what `values:get` sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sheets_sync.sandbox.sheet import locales
from sheets_sync.sandbox.sheet.a1 import Box

Json = dict[str, Any]
Value = str | int | float | bool  # "" is an empty cell
Style = tuple[Json | None, ...]  # a cell: userEnteredFormat, note, dataValidation; trailing None cut
Formulas = Mapping[int, str]  # column -> text, with its =

NO_VALUES: list[Value] = []
NO_STYLE: Style = ()
NO_FORMULAS: Formulas = {}
DEFAULT_HEIGHT, DEFAULT_WIDTH = 21, 100  # pixels; recorded from the real service


class ErrorValue(str):
    """What a formula that failed shows, `#NAME?`; text for whoever reads values."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Tab:
    """One sheet of a workbook. `rows` and `columns` are DimensionProperties without defaults, or None."""

    sheet_id: int
    title: str
    properties: Json = field(default_factory=dict)  # hidden, tabColor…, rightToLeft, and the rest of gridProperties
    values: list[list[Value]] = field(default_factory=list)
    styles: list[Style] = field(default_factory=list)
    formulas: list[Formulas] = field(default_factory=list)
    rows: list[Json | None] = field(default_factory=list)
    columns: list[Json | None] = field(default_factory=list)
    merges: list[Json] = field(default_factory=list)
    protected: list[Json] = field(default_factory=list)
    conditional: list[Json] = field(default_factory=list)
    basic_filter: Json | None = None
    has_formulas: bool = False
    renderings: dict[Any, Any] = field(
        default_factory=dict
    )  # what `rendering` remembers; shared with copies, which it tells apart

    @classmethod
    def empty(cls, sheet_id: int, title: str, rows: int, columns: int, properties: Json | None = None) -> Tab:
        """A tab of that size without content."""
        tab = cls(sheet_id, title, properties or {}, columns=[None] * columns)
        tab.insert_rows(0, rows)
        return tab

    def copy(self) -> Tab:
        """A tab that may be changed without the original knowing."""
        return replace(
            self,
            properties=dict(self.properties),
            values=self.values.copy(),
            styles=self.styles.copy(),
            formulas=self.formulas.copy(),
            rows=self.rows.copy(),
            columns=self.columns.copy(),
            merges=self.merges.copy(),
            protected=self.protected.copy(),
            conditional=self.conditional.copy(),
        )

    @property
    def box(self) -> Box:
        """The whole grid."""
        return Box(0, len(self.values), 0, len(self.columns))

    @property
    def hidden(self) -> bool:
        return bool(self.properties.get("hidden"))

    @property
    def grid(self) -> Json:
        """What gridProperties has besides the size: frozen rows and columns, hidden grid lines."""
        return self.properties.get("gridProperties") or {}

    # cells

    def value(self, row: int, column: int) -> Value:
        values = self.values[row]
        return values[column] if column < len(values) else ""

    def style(self, row: int, column: int) -> Json | None:
        style = self.styles[row]
        return style[column] if column < len(style) else None

    def put_values(self, row: int, column: int, cells: Sequence[Value]) -> None:
        """Write effective values; formulas under them are gone."""
        old = self.values[row]
        new = old + [""] * (column - len(old))
        new[column : column + len(cells)] = cells
        while new and type(new[-1]) is str and not new[-1]:
            new.pop()
        self.values[row] = new
        if self.formulas[row]:
            self._drop_formulas(row, column, column + len(cells))

    def _drop_formulas(self, row: int, c0: int, c1: int) -> None:
        kept = {c: text for c, text in self.formulas[row].items() if not c0 <= c < c1}
        self.formulas[row] = kept or NO_FORMULAS

    def put_formula(self, row: int, column: int, text: str) -> None:
        """Keep a formula; its value comes with the next reckoning."""
        self.formulas[row] = {**self.formulas[row], column: text}
        self.has_formulas = True

    def put_style(self, row: int, column: int, cells: Sequence[Json | None]) -> None:
        self.styles[row] = splice(self.styles[row], column, cells)

    # rows and columns

    def insert_rows(self, at: int, count: int, like: int | None = None) -> None:
        """New empty rows before row `at`, formatted as row `like`, or not at all."""
        style = NO_STYLE if like is None else formats_only(self.styles[like])
        self.values[at:at] = [NO_VALUES] * count
        self.styles[at:at] = [style] * count
        self.formulas[at:at] = [NO_FORMULAS] * count
        self.rows[at:at] = [None] * count

    def delete_rows(self, r0: int, r1: int) -> None:
        for lane in (self.values, self.styles, self.formulas, self.rows):
            del lane[r0:r1]

    def order_rows(self, r0: int, order: Sequence[int]) -> None:
        """Rows from r0 on stand in the given order of their present indexes."""
        lanes: tuple[list[Any], ...] = (self.values, self.styles, self.formulas, self.rows)
        for lane in lanes:
            lane[r0 : r0 + len(order)] = [lane[i] for i in order]

    def insert_columns(self, at: int, count: int, like: int | None = None) -> None:
        self.columns[at:at] = [None] * count
        for row in range(len(self.values)):
            if len(self.values[row]) > at:
                self.values[row] = self.values[row][:at] + [""] * count + self.values[row][at:]
            if self.styles[row]:
                shape = self.style(row, like) if like is not None else None
                fresh = formats_only((shape,))[:1] or (None,)
                self.styles[row] = trimmed(padded(self.styles[row][:at], at) + fresh * count + self.styles[row][at:])
            if self.formulas[row]:
                self.formulas[row] = {c + count if c >= at else c: t for c, t in self.formulas[row].items()}

    def delete_columns(self, c0: int, c1: int) -> None:
        order = [*range(c0), *range(c1, len(self.columns))]
        self._pick_columns(order)

    def order_columns(self, order: Sequence[int]) -> None:
        """Columns stand in the given order of their present indexes."""
        self._pick_columns(order)

    def _pick_columns(self, order: Sequence[int]) -> None:
        place = {old: new for new, old in enumerate(order)}
        self.columns = [self.columns[i] for i in order]
        for row, values in enumerate(self.values):
            if values:
                self.values[row] = trimmed_values([values[i] if i < len(values) else "" for i in order])
            if self.styles[row]:
                self.styles[row] = trimmed(tuple(self.style(row, i) for i in order))
            if self.formulas[row]:
                kept = {place[c]: text for c, text in self.formulas[row].items() if c in place}
                self.formulas[row] = kept or NO_FORMULAS

    # what is there

    def used_rows(self) -> int:
        """One more than the last row with a value."""
        last = len(self.values)
        while last and not self.values[last - 1]:
            last -= 1
        return last

    def cells_with_formulas(self) -> Iterator[tuple[int, int, str]]:
        if self.has_formulas:
            for row, formulas in enumerate(self.formulas):
                for column, text in formulas.items():
                    yield row, column, text


@dataclass(slots=True)
class NamedRange:
    """A name for a range. Its range is None once the tab is gone: then it is not listed, but still blocks its name."""

    named_range_id: str
    name: str
    range: Json | None


@dataclass(slots=True)
class Book:
    """One spreadsheet. Never changed after it was published; see `kinds.Draft`."""

    spreadsheet_id: str
    properties: Json  # title, locale, timeZone… without the defaults that every answer adds
    tabs: list[Tab] = field(default_factory=list)
    named: dict[str, NamedRange] = field(default_factory=dict)
    metadata: dict[int, Json] = field(default_factory=dict)  # developer metadata by id
    created: str = ""
    modified: str = ""
    revision: int = 0

    def copy(self) -> Book:
        """Tabs are shared until a draft copies the one it changes."""
        return replace(
            self,
            properties=dict(self.properties),
            tabs=self.tabs.copy(),
            named=dict(self.named),
            metadata=dict(self.metadata),
        )

    @property
    def locale(self) -> locales.Locale:
        return locales.of(self.properties.get("locale"))

    def tab(self, sheet_id: int) -> Tab | None:
        return next((tab for tab in self.tabs if tab.sheet_id == sheet_id), None)

    def tab_named(self, title: str) -> Tab | None:
        exact = next((tab for tab in self.tabs if tab.title == title), None)
        return exact or next((tab for tab in self.tabs if tab.title.lower() == title.lower()), None)


def splice(style: Style, column: int, cells: Sequence[Json | None]) -> Style:
    """The style with cells from `column` on replaced."""
    return trimmed(padded(style, column)[:column] + tuple(cells) + style[column + len(cells) :])


def padded(style: Style, length: int) -> Style:
    return style + (None,) * (length - len(style))


def trimmed(style: Style) -> Style:
    end = len(style)
    while end and style[end - 1] is None:
        end -= 1
    return style[:end]


def trimmed_values(values: list[Value]) -> list[Value]:
    while values and type(values[-1]) is str and not values[-1]:
        values.pop()
    return values


def formats_only(style: Iterable[Json | None]) -> Style:
    """What new rows and columns take over from their neighbour: format and validation, no notes."""
    inherited = [
        {k: v for k, v in cell.items() if k in ("userEnteredFormat", "dataValidation")} if cell else None
        for cell in style
    ]
    return trimmed(tuple(cell or None for cell in inherited))
