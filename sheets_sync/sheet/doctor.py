"""`examine`: proves on scratch tabs, made and deleted again, what the exchange relies on and Google does not document.

Each check says what it saw. `run` works only with a spreadsheet for which all of them held: everything that keeps a
typed count from being lost hangs on a batch being refused whole, and on the image being complete under a filter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sheets_sync.errors import BadInput, ExchangeRefused
from sheets_sync.model import Cell
from sheets_sync.sheet.setup import fresh_ids
from sheets_sync.sheet.workbook import Requests, Workbook

SCRATCH = "sheets-sync doctor"
"""Tabs and named ranges of the doctor begin like this; whatever an earlier one left behind is removed."""

_NAME = "sheets_sync_doctor"
_SKUS = ("00123", "1-2", "MAR1", "1E5", "=1+1", "plain")
_HIDDEN = "hide"
_BEHIND_FILTER = [row for row in range(2, 2 + len(_SKUS)) if row % 2]


@dataclass(frozen=True)
class Check:
    """One thing that must hold, whether it does, and what was seen, in words for the seller."""

    name: str
    ok: bool
    saw: str


@dataclass(frozen=True)
class Report:
    """All checks in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def proven(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)


def examine(workbook: Workbook) -> Report:
    """Prove the spreadsheet; about 25 calls. Leaves nothing behind; what it can't remove the next one removes.

    Raises what keeps a check from being made at all (no access, no connection); that proves nothing either way.
    """
    _clean(workbook)
    try:
        bench = _Bench.set_up(workbook)
        checks = [_check(name, proof, bench) for name, proof in _PROOFS]
    finally:
        left = _clean(workbook)
    return Report((*checks, Check("nothing is left behind", not left, left or "the scratch tabs are gone again")))


@dataclass
class _Bench:
    """Two scratch tabs, `data` and `image`, and the named range as it stands now."""

    workbook: Workbook
    data: int
    image: int
    name: str  # a new one each time: a range whose tab a person deleted still blocks its name
    chain: str = ""
    spare: Iterator[str] = field(default_factory=lambda: _exchange_ids())

    @classmethod
    def set_up(cls, workbook: Workbook) -> _Bench:
        ids = fresh_ids(workbook.layout())
        bench = cls(workbook, next(ids), next(ids), f"{_NAME}_{next(_exchange_ids())}")
        workbook.send(
            [
                _add_tab(bench.data, f"{SCRATCH} data", columns=4),
                _add_tab(bench.image, f"{SCRATCH} image", columns=3),
                _write(bench.data, 0, [["SKU", "On hand", "tag SKU", "shown"]]),
                _write(
                    bench.data, 1, [[sku, 10 + i, None, _HIDDEN if i % 2 else "show"] for i, sku in enumerate(_SKUS)]
                ),
            ]
        )
        return bench

    def named(self) -> str:
        return self.workbook.named_range_ids().get(self.name, "none")

    def read(self, tab: str, area: str) -> list[list[Cell]]:
        return self.workbook.values([f"'{SCRATCH} {tab}'!{area}"])[0]

    def range(self, id: str) -> dict[str, Any]:
        return {"namedRange": {"namedRangeId": id, "name": self.name, "range": _area(self.image, 0, 1, 2, 3)}}

    def add_range(self, id: str) -> dict[str, Any]:
        return {"addNamedRange": self.range(id)}

    def update_range(self, id: str) -> dict[str, Any]:
        return {"updateNamedRange": {**self.range(id), "fields": "name,range"}}

    def move(self, old: str, new: str) -> Requests:
        """The chain as an exchange writes it."""
        return [self.update_range(old), {"deleteNamedRange": {"namedRangeId": old}}, self.add_range(new)]

    def refused(self, requests: Requests) -> str:
        return _refusal(self.workbook, requests)


Proof = Callable[[_Bench], tuple[bool, str]]


def _own_id(bench: _Bench) -> tuple[bool, str]:
    given = next(bench.spare)
    said = bench.refused([bench.add_range(given)])
    bench.chain = bench.named()
    return bench.chain == given, said or f"we gave the named range the id {given}, the sheet says {bench.chain}"


def _moves(bench: _Bench) -> tuple[bool, str]:
    old, new = bench.chain, next(bench.spare)
    said = bench.refused(bench.move(old, new))
    named = bench.named()
    bench.chain = named
    if said:
        return False, f"the sheet refused to delete and add one name in one batch: {said}"
    return named == new, f"moved from {old} to {new}, the sheet says {named}"


def _refused_first(bench: _Bench) -> tuple[bool, str]:
    missing = next(bench.spare)
    return _nothing_landed(bench, [*bench.move(missing, next(bench.spare)), _write(bench.data, 1, [["landed"]])])


def _refused_last(bench: _Bench) -> tuple[bool, str]:
    missing = next(bench.spare)
    return _nothing_landed(bench, [_write(bench.data, 1, [["landed"]]), bench.update_range(missing)])


def _nothing_landed(bench: _Bench, requests: Requests) -> tuple[bool, str]:
    before = bench.named()
    said = bench.refused(requests)
    cell, named = _corner(bench.read("data", "A2")), bench.named()
    if not said:
        return False, "the sheet took a batch that names a named range that is not there"
    if cell != _SKUS[0] or named != before:
        return False, f"the batch was refused ({said}), and yet the sheet shows {cell!r} and the named range {named}"
    return True, f"refused whole: {said}"


def _name_once(bench: _Bench) -> tuple[bool, str]:
    before = bench.named()
    said = bench.refused([bench.add_range(next(bench.spare))])
    return bool(said) and bench.named() == before, said or "the sheet gave one name to two named ranges"


def _text_stays(bench: _Bench) -> tuple[bool, str]:
    seen = [_corner([row]) for row in bench.read("data", f"A2:A{1 + len(_SKUS)}")]
    return seen == list(_SKUS), f"wrote {', '.join(_SKUS)} and read {', '.join(map(repr, seen))}"


def _image_under_filter(bench: _Bench) -> tuple[bool, str]:
    rows = len(_SKUS)
    criteria = {"columnIndex": 3, "filterCriteria": {"hiddenValues": [_HIDDEN]}}
    area = _area(bench.data, 0, 1 + rows, 0, 4)
    bench.workbook.send([{"setBasicFilter": {"filter": {"range": area, "filterSpecs": [criteria]}}}])
    hidden = bench.workbook.rows_behind_filter(f"{SCRATCH} data")
    if hidden != _BEHIND_FILTER:
        return False, f"rows {_BEHIND_FILTER} should be behind the filter, the sheet says {hidden}: nothing is proven"
    whole, sku, tag = (_area(bench.data, 1, 1 + rows, a, b) for a, b in ((0, 2), (0, 1), (2, 3)))
    bench.workbook.send([_copy(whole, _area(bench.image, 0, rows, 0, 2)), _copy(sku, tag)])
    image, tags = bench.read("image", f"A1:B{rows}"), [_corner([row]) for row in bench.read("data", f"C2:C{1 + rows}")]
    if image != [[sku, 10 + i] for i, sku in enumerate(_SKUS)]:
        return False, f"with rows hidden by a filter the image is not whole: {image}"
    if tags != list(_SKUS):
        return False, f"with rows hidden by a filter SKUs were copied into other rows: {tags}"
    return True, f"{rows} rows, {len(hidden)} of them behind a filter, were copied whole and in place"


_PROOFS: Sequence[tuple[str, Proof]] = (
    ("a named range takes the id that we give it", _own_id),
    ("one batch deletes and adds one name", _moves),
    ("a batch on another exchange is refused whole", _refused_first),
    ("a batch that is refused at its end leaves nothing", _refused_last),
    ("a name is given once", _name_once),
    ("a SKU stays text", _text_stays),
    ("the image is whole under a filter", _image_under_filter),
)


def _check(name: str, proof: Proof, bench: _Bench) -> Check:
    try:
        return Check(name, *proof(bench))
    except (ExchangeRefused, BadInput) as error:
        return Check(name, False, f"the sheet refused: {error}")


def _clean(workbook: Workbook) -> str:
    """Remove what this doctor or an earlier one made; the words of the sheet where it refuses."""
    layout = workbook.layout()
    ranges = [id for name, id in layout.named_ranges.items() if name.startswith(_NAME)]
    scratch = [tab.id for title, tab in layout.tabs.items() if title.startswith(SCRATCH)]
    requests: Requests = [{"deleteNamedRange": {"namedRangeId": id}} for id in ranges]
    requests += [{"deleteSheet": {"sheetId": id}} for id in scratch]
    return "; ".join(filter(None, (_refusal(workbook, [request]) for request in requests)))


def _refusal(workbook: Workbook, requests: Requests) -> str:
    """The words with which a batch is refused; "" where it was taken."""
    try:
        workbook.send(requests)
    except (ExchangeRefused, BadInput) as error:
        return str(error)
    return ""


def _exchange_ids() -> Iterator[str]:
    while True:
        yield str(random.randrange(10**9, 2**31))


def _area(sheet: int, top: int, bottom: int, left: int, right: int) -> dict[str, int]:
    return {
        "sheetId": sheet,
        "startRowIndex": top,
        "endRowIndex": bottom,
        "startColumnIndex": left,
        "endColumnIndex": right,
    }


def _add_tab(sheet: int, title: str, columns: int) -> dict[str, Any]:
    grid = {"rowCount": 1 + len(_SKUS), "columnCount": columns}
    return {"addSheet": {"properties": {"sheetId": sheet, "title": title, "hidden": True, "gridProperties": grid}}}


def _copy(source: dict[str, int], destination: dict[str, int]) -> dict[str, Any]:
    where = {"source": source, "destination": destination}
    return {"copyPaste": {**where, "pasteType": "PASTE_VALUES", "pasteOrientation": "NORMAL"}}


def _write(sheet: int, row: int, rows: Sequence[Sequence[str | int | None]]) -> dict[str, Any]:
    start = {"sheetId": sheet, "rowIndex": row, "columnIndex": 0}
    lines = [{"values": [_value(cell) for cell in line]} for line in rows]
    return {"updateCells": {"start": start, "rows": lines, "fields": "userEnteredValue"}}


def _value(cell: str | int | None) -> dict[str, Any]:
    if cell is None:
        return {}
    return {"userEnteredValue": {"numberValue" if isinstance(cell, int) else "stringValue": cell}}


def _corner(rows: list[list[Cell]]) -> Cell:
    return rows[0][0] if rows and rows[0] else None
