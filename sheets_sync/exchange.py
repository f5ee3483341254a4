"""One write to the sheet that also tells what it overwrote.

`compose` turns rows into one `spreadsheets.batchUpdate`: the chain (refused whole unless it stands where we think), the
image (what the rows hold, copied inside the batch), then figures, tags and service cells. `settle` turns the image
into what people typed: figure minus tag, each tag once. Nobody but the image decides, because a look may be stale and
because people move rows between a look and a write. The whole protocol: docs/architecture.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sheets_sync import gaps, guard, masses
from sheets_sync.edits import (
    BASE,
    NOTE,
    ON_HAND,
    REASON,
    SKU,
    TAG,
    TAG_EXCHANGE,
    TAG_FIGURE,
    TAG_SKU,
    Known,
    RowWrite,
    Says,
    Verdict,
    came_back,
    hold,
    judge,
    question_of,
    refers,
    text_of,
    words_of,
)
from sheets_sync.model import Cell, Fact, Kind, Origin, Question, Stock, Tag

CHAIN_NAME = "sheets_sync_exchange"
Request = dict[str, Any]
Columns = Mapping[str, int]  # header -> 0-based column


@dataclass(frozen=True)
class Place:
    """Where an exchange happens: ids that the spreadsheet gave its tabs, and whose workbook it is."""

    stock: int  # sheetId of the Stock tab
    exchange: int  # sheetId of `_exchange`
    ledger: str
    spreadsheet: str
    chain: str = CHAIN_NAME


@dataclass(frozen=True)
class Intent:
    """What an exchange will do, recorded before it is sent."""

    exchange: str
    previous: str
    made_at: datetime
    header: tuple[Cell, ...]
    columns: Columns
    first: int  # leftmost and one past the rightmost column of the image
    last: int
    image: tuple[int, ...]  # the Stock row of each image row
    rows: tuple[RowWrite, ...]
    skus: frozenset[str]  # every SKU of the look
    extra: Mapping[str, Any] = field(default_factory=dict)  # what else lands with it: ledger rows shown, rows added
    adopt: bool = False  # it follows a chain that went back: where it lands, the workbook is an older one
    served: tuple[str, ...] = ()  # headers of the columns that the service alone writes: nothing is lost in them

    @property
    def width(self) -> int:
        """Columns of the image in `_exchange`: its span, and room for the ids. One more holds formulas (S6)."""
        return max(self.last - self.first, 5)


@dataclass(frozen=True)
class Image:
    """What an exchange overwrote, as it copied it."""

    exchange: str
    previous: str
    header: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    formulas: Mapping[int, str] = field(default_factory=dict)  # S6: by row of the image, what refers to other cells


@dataclass(frozen=True)
class Settlement:
    """What one landed exchange means; recorded in one transaction."""

    facts: tuple[Fact, ...] = ()
    questions: tuple[Question, ...] = ()
    taken: Mapping[tuple[str, str], Cell] = field(default_factory=dict)
    put_back: tuple[dict[str, Cell], ...] = ()  # fields of an `edits.PutBack`, without its id
    left: tuple[dict[str, Cell], ...] = ()  # the same, of what we wrote where no header is: it cannot be found again
    restored: tuple[int, ...] = ()  # ids of put-backs that this exchange did
    undone: Mapping[tuple[str, str], tuple[Cell, Cell]] = field(default_factory=dict)  # as `Known.undone`, with its tag


# composing ------------------------------------------------------------------------------------------------------


def plan(
    exchange: str, previous: str, header: tuple[Cell, ...], rows: Sequence[RowWrite], skus: frozenset[str],
    made_at: datetime, *, gap: int = 50, extra: Mapping[str, Any] | None = None, adopt: bool = False,
    served: Sequence[str] = (),
) -> Intent:  # fmt: skip
    """The intention of one exchange over `rows`. The image spans every column that is ours or written."""
    columns = {str(h): i for i, h in reversed(list(enumerate(header))) if h is not None}
    used = [columns[h] for h in {SKU, *TAG, ON_HAND, REASON, NOTE, *(h for r in rows for h in r.cells)} if h in columns]
    ordered = tuple(sorted(rows, key=lambda r: r.row))
    image = tuple(_loose(tuple(r.row for r in ordered), gap))
    first, last = (min(used), max(used) + 1) if used else (0, 1)
    return Intent(
        exchange, previous, made_at, header, columns, first, last, image, ordered, skus, extra or {}, adopt,
        tuple(served),
    )  # fmt: skip


def chain(previous: str, new: str, place: Place) -> list[Request]:
    """Refused whole where `previous` is not the last exchange; otherwise `new` is, and nothing made before can land."""
    span = grid_range(place.exchange, 0, 1, 0, 1)
    held = {"namedRangeId": previous, "name": place.chain, "range": span}
    return [
        {"updateNamedRange": {"namedRange": held, "fields": "name,range"}},
        {"deleteNamedRange": {"namedRangeId": previous}},
        {"addNamedRange": {"namedRange": {"namedRangeId": new, "name": place.chain, "range": span}}},
    ]  # fmt: skip


def compose(intent: Intent, place: Place, more: Sequence[Request] = ()) -> list[Request]:
    """The whole batch, in the order in which the sheet will apply it. `more` goes in after the rows."""
    last = len(intent.image) + 2
    size = {"rowCount": last + 1, "columnCount": intent.width + 1}
    mark = (intent.exchange, intent.previous, place.ledger, place.spreadsheet, str(place.stock))
    out = chain(intent.previous, intent.exchange, place)
    sized = {"sheetId": place.exchange, "gridProperties": size}
    out.append({"updateSheetProperties": {"properties": sized, "fields": "gridProperties(rowCount,columnCount)"}})
    out.append(_write({"sheetId": place.exchange}, [mark]))
    out.append(_write(grid_range(place.exchange, last, last + 1, 0, 1), [(intent.exchange,)]))
    if intent.columns:
        out.append(_copy(place, intent, 0, 1, 1))
    at = 2
    for start, end in _runs(intent.image):
        out.append(_copy(place, intent, start, end, at))
        if ON_HAND in intent.columns:
            out.append(_copy_formulas(place, intent, start, end, at))
        at += end - start
    out.extend(_rows(intent, place.stock))
    out.extend(more)
    return out


def fitting(rows: Sequence[RowWrite], limits: guard.Limits) -> int:
    """How many of `rows` (in order of row) fit into one batch. At least one."""
    size, requests, previous = 4_000, 10, None
    for n, row in enumerate(rows):
        size += 90 + sum(60 + len(str(value)) for value in row.cells.values())
        if previous is None or row.row != previous.row + 1 or row.cells.keys() != previous.cells.keys():
            requests += 7 + row.clears
            size += 2_100
        if n and (size > limits.batch_bytes or requests > limits.batch_requests):
            return n
        previous = row
    return len(rows)


def _rows(intent: Intent, stock: int) -> Iterator[Request]:
    """Figures, tags and service cells, a request for each block of neighbouring cells; last the texts taken."""
    at = intent.columns

    def alike(row: RowWrite) -> tuple[bool, frozenset[str]]:
        return row.exchanged, frozenset(row.cells)

    for (exchanged, headers), run in _alike_runs(intent.rows, alike):
        start, end = run[0].row - 1, run[-1].row
        if exchanged:
            source, target = at[SKU], at[TAG_SKU]
            yield _paste(
                grid_range(stock, start, end, source, source + 1), grid_range(stock, start, end, target, target + 1)
            )  # fmt: skip
        written = headers | {TAG_EXCHANGE} if exchanged else headers
        for left, right in _runs_of(sorted(at[h] for h in written)):
            names = [next(h for h in written if at[h] == c) for c in range(left, right)]
            values = [[_value(row, name, intent.exchange) for name in names] for row in run]
            yield _write(grid_range(stock, start, end, left, right), values)
    for row in intent.rows:
        if row.clears:
            for left, right in _runs_of(sorted(at[h] for h in (REASON, NOTE) if h in at)):
                yield {"updateCells": {
                    "range": grid_range(stock, row.row - 1, row.row, left, right), "fields": "userEnteredValue",
                }}  # fmt: skip


def _value(row: RowWrite, header: str, exchange: str) -> Cell:
    return exchange if header == TAG_EXCHANGE and row.exchanged else row.cells[header]


def _alike_runs(rows: Sequence[RowWrite], key: Any) -> Iterator[tuple[tuple[bool, frozenset[str]], list[RowWrite]]]:
    """Neighbouring rows in which the same cells are written."""
    numbered = enumerate(rows)
    for (_, like), run in groupby(numbered, key=lambda n: (n[1].row - n[0], key(n[1]))):
        yield like, [row for _, row in run]


def _loose(rows: Sequence[int], gap: int) -> Iterator[int]:
    """The rows themselves and small gaps between them: copying a few in vain is cheaper than a request."""
    previous = None
    for row in rows:
        if previous is not None and row - previous - 1 <= gap:
            yield from range(previous + 1, row)
        yield row
        previous = row


def _runs(rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Half-open runs of 0-based rows from 1-based ones."""
    for left, right in _runs_of(rows):
        yield left - 1, right - 1


def _runs_of(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    for _, group in groupby(enumerate(numbers), key=lambda n: n[1] - n[0]):
        run = [number for _, number in group]
        yield run[0], run[-1] + 1


def grid_range(sheet: int, r0: int, r1: int, c0: int, c1: int) -> dict[str, int]:
    """The API's GridRange: 0-based, half open."""
    return {
        "sheetId": sheet, "startRowIndex": r0, "endRowIndex": r1, "startColumnIndex": c0, "endColumnIndex": c1,
    }  # fmt: skip


def _copy(place: Place, intent: Intent, start: int, end: int, at: int) -> Request:
    width = intent.last - intent.first
    return _paste(
        grid_range(place.stock, start, end, intent.first, intent.last),
        grid_range(place.exchange, at, at + end - start, 0, width),
    )


def _copy_formulas(place: Place, intent: Intent, start: int, end: int, at: int) -> Request:
    """On hand once more, right of the image, as what was typed and not as what it gives."""
    column, width = intent.columns[ON_HAND], intent.width
    return _paste(
        grid_range(place.stock, start, end, column, column + 1),
        grid_range(place.exchange, at, at + end - start, width, width + 1),
        "PASTE_FORMULA",
    )


def _paste(source: dict[str, int], target: dict[str, int], what: str = "PASTE_VALUES") -> Request:
    return {"copyPaste": {
        "source": source, "destination": target, "pasteType": what, "pasteOrientation": "NORMAL",
    }}  # fmt: skip


def _write(where: dict[str, int], rows: Sequence[Sequence[Cell]]) -> Request:
    return {"updateCells": {"range": where, "fields": "userEnteredValue", "rows": [cells_of(row) for row in rows]}}


def cells_of(row: Sequence[Cell]) -> Request:
    """One RowData. Text is written as text, whatever it looks like: never a formula, never a number."""
    return {"values": [{"userEnteredValue": extended(cell)} if cell is not None else {} for cell in row]}


def extended(cell: Cell) -> Request:
    """A cell as the API's ExtendedValue."""
    if isinstance(cell, bool):
        return {"boolValue": cell}
    return {"stringValue": cell} if isinstance(cell, str) else {"numberValue": cell}


# settling -------------------------------------------------------------------------------------------------------


def read_image(values: Sequence[Sequence[Cell]], exchange: str) -> Image | None:
    """The image of `exchange` in what `_exchange` holds; None where it is another's, or not whole (a stale read)."""
    rows = [tuple(row) for row in values]
    if len(rows) < 3 or not rows[0] or not rows[-1] or rows[0][0] != exchange or rows[-1][0] != exchange:
        return None
    previous = str(rows[0][1] or "") if len(rows[0]) > 1 else ""
    return Image(exchange, previous, rows[1], tuple(rows[2:-1]))


def overwritten(image: Image, skus: Collection[str], now: datetime) -> list[Question]:
    """The counts of these SKUs that were typed where an exchange wrote of which we do not know any more what for."""
    at = {header: position for position, header in enumerate(image.header)}
    rows = [{name: row[at[name]] if at[name] < len(row) else None for name in at} for row in image.rows]
    typed = [row for row in rows if row.get(ON_HAND) not in (None, row.get(TAG_FIGURE)) and row.get(SKU) in skus]
    return [guard.lost_cell(str(row[SKU]), ON_HAND, row[ON_HAND], now) for row in typed]


def typed_in_gap(image: Image, intent: Intent) -> bool:
    """Whether a figure that we overwrote is none that the look saw there; only then may it be a formula (S6)."""
    return any(
        row[ON_HAND] not in (None, row.write.seen) for row in _image_rows(image, intent) if ON_HAND in row.write.cells
    )


def with_formulas(image: Image, cells: Sequence[Cell]) -> Image:
    """`image` with what its copy of On hand holds that refers to other cells; `cells` from row 1 of `_exchange` on."""
    found = {at - 2: str(cell) for at, cell in enumerate(cells) if at > 1 and refers(cell)}
    return replace(image, formulas=found)


def digest(image: Image) -> str:
    """The same image, the same text: with the id it makes a settlement happen once."""
    whole = [image.exchange, image.previous, _cut(image.header), [_cut(row) for row in image.rows]]
    return hashlib.sha256(json.dumps(whole, ensure_ascii=False).encode()).hexdigest()


def named(image: Image, intent: Intent) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """The SKUs and (exchange, SKU) pairs that `Known` must cover to settle this image."""
    pairs = [(sku, tag) for sku, tag in (row.identity() for row in _image_rows(image, intent)) if isinstance(sku, str)]
    return frozenset(s for s, _ in pairs), frozenset((str(t.exchange), s) for s, t in pairs if t.exchange is not None)


def settle(image: Image, intent: Intent, known: Known, now: datetime) -> Settlement:
    """What people had typed in the rows that this exchange overwrote. The same answer however often it is asked."""
    work = _Settling(intent, known, now)
    rows = list(_image_rows(image, intent))
    work.hold_many(rows)
    for row in rows:
        work.row(row)
    work.ask_many()
    return Settlement(
        tuple(work.facts), tuple(work.questions), work.taken, tuple(work.put_back), tuple(work.left),
        tuple(work.restored), work.undone,
    )  # fmt: skip


@dataclass(frozen=True)
class _ImageRow:
    """One overwritten row and what was written over it."""

    cells: tuple[Cell, ...]
    write: RowWrite
    intent: Intent
    names: Mapping[str, int]  # header -> column, as the sheet had them when it was overwritten
    straight: bool  # the header was the expected one
    formula: bool = False  # On hand held one that refers to other cells

    def __getitem__(self, header: str) -> Cell:
        column = self.names.get(header)
        return None if column is None else self.at(column)

    def at(self, column: int) -> Cell:
        index = column - self.intent.first
        return self.cells[index] if 0 <= index < len(self.cells) else None

    def identity(self) -> tuple[Cell, Tag]:
        """SKU and tag. Where no column of the image is called SKU, the tag says whose row it is; of a row without one
        the SKU that the look saw there, if that still stands in it.
        """
        tag = Tag(*(self[name] for name in TAG))
        if SKU in self.names:
            return self[SKU], tag
        return (self.write.sku if tag.sku is None and self.write.sku in self.cells else tag.sku), tag

    @property
    def meant(self) -> bool:
        """Whether this is the row that the look saw there, whose SKU we may have overwritten before."""
        written = {header: expect for _, header, expect in self.write.put_backs}
        return self.straight and self[SKU] == written.get(SKU, self.write.sku)

    def overwritten(self) -> Iterator[tuple[int, Cell, Cell]]:
        """(column, what stood there, what we wrote), for every cell that the batch wrote in this row."""
        at, write = self.intent.columns, self.write
        for header, value in write.cells.items():
            yield at[header], self.at(at[header]), value
        if write.exchanged:
            yield at[TAG_EXCHANGE], self.at(at[TAG_EXCHANGE]), self.intent.exchange
            yield at[TAG_SKU], self.at(at[TAG_SKU]), self.at(at[SKU])
        if write.clears:
            yield from ((at[name], self.at(at[name]), None) for name in (REASON, NOTE) if name in at)


def _image_rows(image: Image, intent: Intent) -> Iterator[_ImageRow]:
    expected = _cut(intent.header[intent.first : intent.last])
    straight = _cut(image.header) == expected
    names = intent.columns
    if not straight:  # columns were inserted or moved: believe what the image says
        names = {str(h): i + intent.first for i, h in reversed(list(enumerate(image.header))) if h is not None}
    by_row = {write.row: write for write in intent.rows}
    for number, row in enumerate(intent.image):
        if write := by_row.get(row):  # others were copied only for shortness: their cells still hold what was typed
            cells = image.rows[number] if number < len(image.rows) else ()
            yield _ImageRow(cells, write, intent, names, straight, number in image.formulas)


class _Settling:
    """What is found while the rows of one image are gone through, in order."""

    def __init__(self, intent: Intent, known: Known, now: datetime) -> None:
        self.intent, self.now = intent, now
        self.stock = dict(known.stock)
        self.used = dict(known.taken)
        self.known = replace(known, stock=self.stock, taken=self.used, held={})
        self.facts: list[Fact] = []
        self.questions: list[Question] = []
        self.taken: dict[tuple[str, str], Cell] = {}
        self.put_back: list[dict[str, Cell]] = []
        self.left: list[dict[str, Cell]] = []
        self.restored: list[int] = []
        self.undone: dict[tuple[str, str], tuple[Cell, Cell]] = {}
        self.in_cells = gaps.in_cells(known)  # H2: held in their cells
        self.together: frozenset[gaps.Pair] = frozenset()  # H1: too many to be taken unasked
        self.many: dict[masses.Row, gaps.Texts] = {}

    def hold_many(self, rows: Iterable[_ImageRow]) -> None:
        """H1: are there too many changes, or zeros, as one image has them?"""
        typed = [row for row in rows if row[ON_HAND] != row[TAG_FIGURE]]
        if len(typed) > 1 and not self.known.adopting:  # then each is asked anyway
            fresh = [change for row in typed if (change := self._changed(row))]
            self.together = gaps.together(list(dict.fromkeys(fresh)), self.known, self.now)

    def _changed(self, row: _ImageRow) -> masses.Row | None:
        """What a person changed in this row, where it counts among many."""
        (sku, tag), figure = row.identity(), row[ON_HAND]
        if not isinstance(sku, str) or not self._exchanged(row, sku) or row.formula or self._frees(row, sku):
            return None
        if judge(sku, figure, tag, self.known).says is not Says.EDIT:
            return None
        assert isinstance(figure, int) and isinstance(tag.figure, int)
        pair = (str(tag.exchange), sku)
        if self.in_cells.get(pair) == figure or self.known.approved.get(pair) == figure:
            return None
        return masses.Row(sku, pair[0], tag.figure, figure)

    def ask_many(self) -> None:
        if self.many:
            self.questions.append(gaps.question(self.many, self.known.listings, self.now))

    def _exchanged(self, row: _ImageRow, sku: str) -> bool:
        return row.straight and not row.write.put_backs and sku in self.intent.skus and ON_HAND in row.write.cells

    def _frees(self, row: _ImageRow, sku: str) -> bool:
        return row.write.frees and row.write.sku == sku and row[ON_HAND] == row.write.seen

    def row(self, row: _ImageRow) -> None:
        """One row: was it the row that we meant, and what did a person type in it?"""
        sku, tag = row.identity()
        if row.write.put_backs and row.meant:
            self._restored(row, sku)
            return
        if not row.straight or row.write.put_backs or not isinstance(sku, str) or sku not in self.intent.skus:
            self._undo(row, sku)
            return
        settled = self._judged(row, sku, tag) if ON_HAND in row.write.cells else False
        if settled is None:
            self._undo(row, sku)
        else:
            self._texts(row, sku, settled)

    def _judged(self, row: _ImageRow, sku: str, tag: Tag) -> bool | None:
        """Whether the figure in this row became a fact; None where it should not have been overwritten.

        What is not taken and came here from elsewhere goes back to its cell, where the next look asks about it.
        """
        figure = row[ON_HAND]
        if self._frees(row, sku):
            return False
        verdict = judge(sku, figure, tag, self.known)
        match verdict.says:
            case Says.NOTHING if figure is not None and sku not in self.stock and tag.sku not in (None, sku):
                return None  # S7: a row duplicated to make a new SKU
            case Says.NOTHING | Says.TEXT if figure is None:
                return False if row.meant else None  # blank for what is still to go back there, perhaps
            case Says.NOTHING if not row.meant and (sku, figure) in self.known.misplaced:
                return None  # ours, and by mistake: what stood there before it still finds its way back
            case Says.NOTHING:
                self._copied(sku, tag)
                return False
            case Says.EDIT:
                return self._edit(row, sku, tag, verdict)
            case Says.OPEN if row.write.opens and row.write.sku == sku:
                return self._open(row, sku, tag, verdict)
            case Says.OPEN | Says.OTHER_TAG:  # S7: it has not stood over two reads yet
                return None
        if not row.meant or (verdict.says is Says.TEXT and sku not in self.stock):
            return None
        self._ask(verdict, row, sku, tag)
        return False

    def _edit(self, row: _ImageRow, sku: str, tag: Tag, verdict: Verdict) -> bool | None:
        figure, (reason, note) = row[ON_HAND], words_of(row[REASON], row[NOTE], sku, self.known)
        assert isinstance(figure, int) and isinstance(tag.figure, int)
        pair, texts = (str(tag.exchange), sku), gaps.Texts(reason, note)
        if self.in_cells.get(pair) == figure or came_back(self.known, pair, figure):
            return None
        held = self._formula(row, sku, tag) or hold(sku, figure, tag, reason, self.known, self.now)
        if (held or pair in self.together) and not row.meant:
            return None
        if pair in self.together:
            self.many[masses.Row(sku, pair[0], tag.figure, figure)] = texts
            self._use(tag, sku, figure)
            return False
        if held:
            self.questions.append(gaps.in_image(held, figure, texts))
            self._use(tag, sku, figure)
            return False
        if not row.write.put_backs:
            self._copied(sku, tag)
        moved = guard.moved_by(verdict.change, reason, self.stock[sku])
        assert moved is not None
        self.stock[sku] = self.stock[sku].plus(moved)
        self.facts.append(
            self._fact(row, sku, f"edit:{tag.exchange}:{sku}", Kind.ADJUSTMENT, change=moved,
                       reference=guard.typed_reference(figure, tag.figure))
        )  # fmt: skip
        self._use(tag, sku, figure)
        return True

    def _formula(self, row: _ImageRow, sku: str, tag: Tag) -> Question | None:
        """S6: what was typed while we wrote refers to other cells."""
        figure, on_hand = row[ON_HAND], self.stock[sku].on_hand
        if not row.formula or figure == row.write.seen:
            return None
        text = guard.gap_formula(figure, on_hand)
        return guard.ask("formula_held", sku, text, self.now, typed=figure, tag=tag, reference="typed while we wrote")

    def _open(self, row: _ImageRow, sku: str, tag: Tag, verdict: Verdict) -> bool:
        assert verdict.count is not None
        self.facts.append(
            self._fact(row, sku, f"open:{self.intent.exchange}:{sku}", Kind.OPENING, count=verdict.count)
        )  # fmt: skip
        self.stock[sku] = Stock(verdict.count)
        if tag.exchange is not None:
            self._use(tag, sku, verdict.count)
        return True

    def _fact(
        self, row: _ImageRow, sku: str, key: str, kind: Kind, *, change: Stock | None = None, count: int | None = None,
        reference: str = "",
    ) -> Fact:  # fmt: skip
        seen = row[ON_HAND] == row.write.seen
        reason, note = words_of(row[REASON], row[NOTE], sku, self.known)
        return Fact(
            key, sku, kind, self._at(sku, seen), change or Stock(), count, source="sheet", reference=reference,
            reason=reason, note=note, batch=f"sheet-{self.intent.exchange}",
        )  # fmt: skip

    def _at(self, sku: str, seen: bool) -> datetime:
        """When it was typed. A count that is later than now, or than a look that came after it, says that our clock
        went back since: it has seen nothing of what is typed now (law 2).
        """
        at, counted_at = self.intent.made_at if seen else self.now, self.known.counted_at.get(sku)
        last = at if sku in self.known.counted_before else self.now
        return counted_at + timedelta(microseconds=1) if counted_at and counted_at > last else at

    def _use(self, tag: Tag, sku: str, figure: Cell) -> None:
        pair = (str(tag.exchange), sku)
        self.taken[pair] = figure
        self.used[pair] = figure

    def _ask(self, verdict: Verdict, row: _ImageRow, sku: str, tag: Tag) -> None:
        figure = row[ON_HAND]
        if verdict.says is Says.TEXT:
            kind, text = "text", guard.gap_text(figure, self.stock[sku].on_hand if sku in self.stock else 0)
        else:
            kind, text = question_of(verdict, sku, figure, tag, self.known)
            text = guard.in_gap(text, figure)
        self.questions.append(
            guard.ask(kind, sku, text, self.now, typed=figure, tag=tag, origin=Origin.IMAGE)
        )  # fmt: skip

    def _texts(self, row: _ImageRow, sku: str, settled: bool) -> None:
        """S5: Reason and Note were taken with their edit, and only then are they cleared."""
        write = row.write
        for header in (REASON, NOTE):
            value = row[header]
            if value is None:
                continue
            if write.clears and not settled:
                self._back(row, sku, header, value, None)
            elif settled and not write.clears:
                self._back(row, sku, header, None, value)

    def _restored(self, row: _ImageRow, sku: Cell) -> None:
        """A row where something was put back: was it still what we had written there?"""
        for item, header, expect in row.write.put_backs:
            self.restored.append(item)
            stood, wrote = row[header], row.write.cells.get(header, row[header])
            if stood in (None, expect, wrote) or not _was_typed(row, header):
                continue
            if header == ON_HAND and isinstance(sku, str) and sku not in self.stock and guard.is_count(stood):
                self._back_again(row, sku)
            elif header != ON_HAND or not isinstance(sku, str) or not self._typed_over(row, sku):
                self._lost(text_of(sku), header, stood)

    def _back_again(self, row: _ImageRow, sku: str) -> None:
        """The first count of a new SKU, typed over our figure just as an older one went back: it goes back in turn."""
        for column in BASE:
            wrote = row.write.cells.get(column, row[column])
            self._back(row, sku, column, row[column] if column == ON_HAND else wrote, wrote)

    def _typed_over(self, row: _ImageRow, sku: str) -> bool:
        """Whether what was typed over our mistaken figure, as the row's own cells went back, is a change of that."""
        tag, wrote = row.identity()[1], {header: expect for _, header, expect in row.write.put_backs}
        if any(wrote.get(name) != row[name] for name in TAG) or wrote[ON_HAND] != tag.figure:
            return False
        verdict = judge(sku, row[ON_HAND], tag, self.known)
        return verdict.says is Says.EDIT and self._edit(row, sku, tag, verdict) is not None

    def _copied(self, sku: str, tag: Tag) -> None:
        """A row copied while our mistaken write stood in it: what was typed went back to the other row, if anywhere."""
        typed = self.known.undone.get((str(tag.exchange), sku))
        if typed is not None:
            self._lost(sku, ON_HAND, typed)

    def _undo(self, row: _ImageRow, sku: Cell) -> None:
        """This row was not exchanged: all that was overwritten in it goes back to where it is then.

        On hand and the tag are named in any case: they go back as one, and they tell which row it is.
        """
        if isinstance(sku, str) and row[ON_HAND] != row[TAG_FIGURE]:
            self._ask_computed(row, sku)
            if row.write.exchanged:
                self.undone[(self.intent.exchange, sku)] = row[ON_HAND], row[TAG_EXCHANGE]
        names = {column: header for header, column in row.names.items()}
        written = {column: (stood, wrote) for column, stood, wrote in row.overwritten()}
        base = [row.names[header] for header in BASE if header in row.names]
        written |= {column: (row.at(column), row.at(column)) for column in base if column not in written}
        for column, (stood, wrote) in written.items():
            header = names.get(column)
            if stood == wrote and column not in base:
                continue
            if isinstance(sku, str) and header is not None:
                self._back(row, sku, header, stood, wrote)
            elif isinstance(sku, str) and stood is None:
                self.left.append({"sku": sku, "column": "", "value": None, "expect": wrote})
            elif sku is None and header == ON_HAND and stood == wrote == row[TAG_FIGURE] and wrote is not None:
                self.left.append({"sku": "", "column": ON_HAND, "value": None, "expect": wrote})
            elif stood not in (None, wrote) and _was_typed(row, header):
                self._lost(text_of(sku), header or "a column without a header", stood)

    def _ask_computed(self, row: _ImageRow, sku: str) -> None:
        """S6: a formula that refers to other cells goes back as its value, and is held as that."""
        tag, figure = row.identity()[1], row[ON_HAND]
        held = self.known.computed.get((str(tag.exchange), sku))
        if guard.is_count(figure) and ((row.straight and row.formula) or (held and held.typed == figure)):
            text = guard.came_back(figure, self.stock[sku].on_hand if sku in self.stock else None)
            asked = guard.ask("formula_held", sku, text, self.now, typed=figure, tag=tag, reference=guard.CAME_BACK)
            self.questions.append(asked)

    def _back(self, row: _ImageRow, sku: str, column: str, value: Cell, expect: Cell) -> None:
        group = f"{self.intent.exchange}:{row.write.row}"
        self.put_back.append({"sku": sku, "column": column, "value": value, "expect": expect, "group": group})

    def _lost(self, sku: str, column: str, value: Cell) -> None:
        self.questions.append(guard.lost_cell(sku, column, value, self.now))


def _was_typed(row: _ImageRow, header: str | None) -> bool:
    """Whether a person, not we, wrote what stood there."""
    if header in BASE:
        return header == ON_HAND and row[ON_HAND] != row[TAG_FIGURE]
    return header not in row.intent.served


def _cut(cells: Sequence[Cell]) -> list[Cell]:
    """Without trailing empty cells, as reads give them."""
    out = list(cells)
    while out and out[-1] is None:
        out.pop()
    return out


# storing --------------------------------------------------------------------------------------------------------


def dump(intent: Intent) -> bytes:
    """An intention as the ledger keeps it."""
    whole = asdict(intent)
    whole["made_at"] = intent.made_at.isoformat()
    whole["skus"] = sorted(intent.skus)
    return json.dumps(whole, ensure_ascii=False).encode()


def load(payload: bytes) -> Intent:
    """The intention that `dump` wrote."""
    whole = json.loads(payload)
    rows = tuple(
        RowWrite(**{**row, "put_backs": tuple(tuple(item) for item in row["put_backs"])}) for row in whole["rows"]
    )  # fmt: skip
    return Intent(
        **{
            **whole,
            "made_at": datetime.fromisoformat(whole["made_at"]),
            "header": tuple(whole["header"]),
            "image": tuple(whole["image"]),
            "served": tuple(whole["served"]),
            "rows": rows,
            "skus": frozenset(whole["skus"]),
        }
    )
