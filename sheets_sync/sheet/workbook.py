"""`Workbook`: one spreadsheet through gspread, as four calls: `layout`, `look`, `send`, `image`.

A look is one `values:batchGet` of whole columns. It takes the columns' letters from the last header it saw; where the
header turns out to be another, it looks again with the new letters. `send` is one `batchUpdate`, sent once.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import zip_longest
from typing import Any

import gspread
from gspread.urls import (
    DRIVE_FILES_API_V3_URL,
    SPREADSHEET_BATCH_UPDATE_URL,
    SPREADSHEET_URL,
    SPREADSHEET_VALUES_BATCH_URL,
)

from sheets_sync.errors import BadInput, SheetNotReady, Unavailable
from sheets_sync.model import Cell, Layout, Look, Mark, TabInfo
from sheets_sync.sheet import tabs
from sheets_sync.sheet.client import Pace, SheetAccess, SheetHttp, credentials
from sheets_sync.sheet.setup import Found, Survey, letter, number_format
from sheets_sync.sheet.tabs import Tab

Requests = list[dict[str, Any]]

_ALWAYS = (
    f"'{tabs.STOCK}'!1:1",
    f"'{tabs.EXCHANGE}'!1:1",
    f"'{tabs.CHANNELS}'",
    f"'{tabs.REVIEW}'",
    f"'{tabs.ADJUSTMENTS}'",
    f"'{tabs.STOCK_TAKE}'!1:12",
)
_FIRST_ROWS = 12  # of a tab whose header stands below its settings
_LOOKS = 3  # someone who moves columns all the time gets the last one
_LAYOUT_FIELDS = (
    "spreadsheetId,properties(title,timeZone),namedRanges(namedRangeId,name),"
    "sheets(properties(sheetId,title,hidden,gridProperties(rowCount,columnCount)),basicFilter(range))"
)
_DETAIL_FIELDS = (
    "sheets(properties,protectedRanges,conditionalFormats,data(columnMetadata(hiddenByUser,pixelSize),"
    "rowData(values(effectiveValue,note,dataValidation,userEnteredFormat(numberFormat,textFormat(bold))))))"
)
_FORMAT_FIELDS = "sheets(properties(title),data(rowData(values(userEnteredFormat(numberFormat(type))))))"
_UNFORMATTED = {"valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "SERIAL_NUMBER"}


def _utcnow() -> datetime:
    return datetime.now(UTC)


def connect(access: SheetAccess, *, pace: Pace | None = None, clock: Callable[[], datetime] = _utcnow) -> Workbook:
    """The spreadsheet that `access` names; asks nothing yet. One thread uses one.

    Quotas belong to a user: threads that work as the same user share a `pace`. Raises CredentialsRefused.
    """
    return Workbook(_http(access, pace=pace), access.spreadsheet_id, clock=clock)


def create(access: SheetAccess, title: str) -> str:
    """Make a spreadsheet and return its id. Needs the scope drive.file, which is asked for here and nowhere else.

    A service account has no room of its own on Drive, so on Google this is for people's credentials ("oauth_user").
    """
    body = {"name": title, "mimeType": "application/vnd.google-apps.spreadsheet"}
    made = _http(access, creates=True).ask("post", DRIVE_FILES_API_V3_URL, {"supportsAllDrives": "true"}, body)
    return str(made["id"])


def _http(access: SheetAccess, *, pace: Pace | None = None, creates: bool = False) -> SheetHttp:
    who = credentials(access, creates=creates)
    http = partial(
        SheetHttp,
        base_url=access.base_url,
        pace=pace or Pace.of(access),
        share_with=getattr(who, "service_account_email", ""),
    )
    client: Any = gspread.Client(auth=who, http_client=http)  # type: ignore[arg-type]  # it only ever calls it
    made: SheetHttp = client.http_client
    return made


class Workbook:
    """One spreadsheet. Every method raises the errors of `SheetHttp`; none leaves a gspread error through."""

    def __init__(
        self,
        http: SheetHttp,
        spreadsheet_id: str,
        *,
        clock: Callable[[], datetime] = _utcnow,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.spreadsheet_id = spreadsheet_id
        self._http, self._clock, self._sleep = http, clock, sleep
        self._header: tuple[Cell, ...] = ()

    def layout(self) -> Layout:
        """Tabs, sizes and named ranges, without cells: what a values read does not tell."""
        answer = self._get(SPREADSHEET_URL % self.spreadsheet_id, {"fields": _LAYOUT_FIELDS})
        about = answer.get("properties", {})
        found = [_tab(sheet) for sheet in answer.get("sheets", ())]
        return Layout(
            spreadsheet_id=answer["spreadsheetId"],
            title=about.get("title", ""),
            time_zone=about.get("timeZone", "Etc/GMT"),
            tabs={tab.title: tab for tab in found},
            named_ranges={r["name"]: r["namedRangeId"] for r in answer.get("namedRanges", ())},
        )

    def clock_skew(self) -> timedelta | None:
        """How far the sheet's clock was ahead of ours at the last answer; None where it does not tell its time."""
        return self._http.skew

    def named_range_ids(self) -> dict[str, str]:
        """Each named range's id by its name: where the chain stands."""
        return dict(self.layout().named_ranges)

    def look(self, columns_needed: Sequence[str] | None = None) -> Look:
        """One read of Stock's header and columns, the chain's mark and the tabs that people fill in. Never proof.

        `columns_needed` are headers; None means every headed column. Raises SheetNotReady where a tab is gone.
        """
        needed = columns_needed
        for again in range(_LOOKS + 1):
            began_at, letters = self._clock(), _letters(self._header, needed)
            try:
                answers = self._values([*_ALWAYS, *map(_range, letters)], "COLUMNS")
            except BadInput:
                if not letters:
                    raise
                self._header = ()  # the letters lie outside the tab by now: columns were deleted
                continue
            header = tuple(column[0] if column else None for column in answers[0])
            straight = header == self._header and not _torn(header, letters, answers)
            if straight or (again == _LOOKS and letters):
                break
            self._header = header
        return _look(self._header, header, letters, answers, needed, began_at)

    def send(self, requests: Requests) -> dict[str, Any]:
        """One `batchUpdate`: applied whole, in order, or refused whole. Sent once; only after a 429 again.

        Raises ExchangeRefused where the chain has moved on (nothing was written), OutcomeUnknown where the answer is
        lost, BadInput with Google's words where a request is wrong (nothing was written).
        """
        return self._http.ask("post", SPREADSHEET_BATCH_UPDATE_URL % self.spreadsheet_id, json={"requests": requests})

    def image(self, width: int | None = None) -> list[list[Cell]]:
        """`_exchange` as it stands, row by row; what lies right of `width` columns is left out."""
        rows = self._values([f"'{tabs.EXCHANGE}'"], "ROWS")[0]
        return [_cut(row[:width]) for row in rows]

    def read_image(self, exchange_id: str, width: int | None = None, tries: int = 5) -> list[list[Cell]] | None:
        """The whole image of `exchange_id`, or None where `tries` reads show another one (or only a part).

        Google may answer a read with a state older than the last write, so one look is not enough.
        """
        for attempt in range(tries):
            if attempt:
                self._sleep(min(2.0, 0.2 * 2**attempt) * random.uniform(0.5, 1.0))
            rows = self.image(width)
            if len(rows) > 1 and rows[0][:1] == [exchange_id] == rows[-1][:1]:
                return rows
        return None

    def survey(self, wanted: Sequence[Tab]) -> Survey:
        """All that `setup.plan` compares with: up to four reads, of which one has the formats of whole SKU columns."""
        layout = self.layout()
        there = [layout.tabs[tab.title] for tab in wanted if tab.title in layout.tabs]
        ours = {tab.title: tab for tab in wanted}
        first = {title: _FIRST_ROWS if tab.head else 1 + tab.ticked for title, tab in ours.items()}
        tops = {tab.title: f"1:{min(tab.rows, first[tab.title])}" for tab in there}
        grids = self._grids(tops, _DETAIL_FIELDS)
        found = {title: Found.of(layout.tabs[title], sheet, ours[title]) for title, sheet in grids.items()}
        skus = {title: letter(f.header.index(tabs.SKU)) for title, f in found.items() if tabs.SKU in f.header}
        below = {title: f"{c}{found[title].top + 2}:{c}" for title, c in skus.items() if layout.tabs[title].rows > 1}
        formats = self._grids(below, _FORMAT_FIELDS)
        lengths = {title: layout.tabs[title].rows - 1 - found[title].top for title in formats}
        return Survey(layout, found, {title: _all_text(s, lengths[title]) for title, s in formats.items()})

    def rows_behind_filter(self, title: str) -> list[int]:
        """The rows of a tab, counted from 1, that its basic filter hides."""
        sheet = self._grids({title: "A:A"}, "sheets(properties(title),data(rowMetadata(hiddenByFilter)))").get(
            title, {}
        )
        rows = [row for block in sheet.get("data", ()) for row in block.get("rowMetadata", ())]
        return [number for number, row in enumerate(rows, start=1) if row.get("hiddenByFilter")]

    def _grids(self, areas: Mapping[str, str], fields: str) -> dict[str, dict[str, Any]]:
        """Sheet resources by title, each with the cells of its area (like "A2:A")."""
        if not areas:
            return {}
        ranges = [f"{_quoted(title)}!{area}" for title, area in areas.items()]
        answer = self._get(SPREADSHEET_URL % self.spreadsheet_id, {"fields": fields, "ranges": ranges})
        sheets = {sheet["properties"]["title"]: sheet for sheet in answer.get("sheets", ())}
        return {title: sheets[title] for title in areas if title in sheets}

    def values(self, ranges: Sequence[str], *, by: str = "ROWS", formulas: bool = False) -> list[list[list[Cell]]]:
        """Cells of several ranges in one call, by "ROWS" or "COLUMNS"; trailing empty cells are cut."""
        return self._values(ranges, by, {**_UNFORMATTED, "valueRenderOption": "FORMULA"} if formulas else _UNFORMATTED)

    def _values(
        self, ranges: Sequence[str], dimension: str, options: Mapping[str, str] = _UNFORMATTED
    ) -> list[list[list[Cell]]]:
        query = {"majorDimension": dimension, "ranges": list(ranges), **options}
        answer = self._get(SPREADSHEET_VALUES_BATCH_URL % self.spreadsheet_id, query)
        blocks = answer.get("valueRanges", [])
        if len(blocks) != len(ranges):
            raise Unavailable(f"Google Sheets answered {len(blocks)} of {len(ranges)} ranges")
        return [[_cells(line) for line in block.get("values", ())] for block in blocks]

    def _get(self, url: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._http.ask("get", url, params)
        except BadInput as error:
            if "Unable to parse range" in str(error):
                raise SheetNotReady(f"{error}; a tab is missing or was renamed: run `sheets-sync init`") from error
            raise


def _tab(sheet: Mapping[str, Any]) -> TabInfo:
    about = sheet["properties"]
    grid = about.get("gridProperties", {})
    return TabInfo(
        id=about.get("sheetId", 0),  # the first tab's 0 may be left out, as zeros are
        title=about["title"],
        rows=grid.get("rowCount", 0),
        columns=grid.get("columnCount", 0),
        hidden=about.get("hidden", False),
        filtered="basicFilter" in sheet,
    )


def _look(
    expected: tuple[Cell, ...],
    header: tuple[Cell, ...],
    letters: Sequence[range],
    answers: Sequence[list[list[Cell]]],
    needed: Sequence[str] | None,
    began_at: datetime,
) -> Look:
    problems = [
        f"the header {name!r} stands over {n} columns of Stock; rename all but one"
        for name, n in Counter(h for h in header if h is not None).items()
        if n > 1
    ]
    problems += [
        f"Stock has no column {name!r}; put its header back, or run `sheets-sync init`"
        for name in needed or ()
        if name not in header
    ]
    if expected != header or _torn(expected, letters, answers):
        problems.append("columns of Stock are being moved; the next look waits for them")
    columns: dict[str, list[Cell]] = {}
    for run, block in zip(letters, answers[len(_ALWAYS) :], strict=True):
        for offset, position in enumerate(run):
            columns[str(expected[position])] = block[offset][1:] if offset < len(block) else []
    rows = max(map(len, columns.values()), default=0)
    for cells in columns.values():
        cells.extend([None] * (rows - len(cells)))
    return Look(
        began_at=began_at,
        header=header,
        columns=columns,
        rows=rows,
        mark=Mark(*(_text(column[0] if column else None) for column in answers[1][:5])),
        channels=_by_header(answers[2]),
        review=_by_header(answers[3]),
        adjustments=_by_header(answers[4]),
        stock_take=tuple(zip_longest(*answers[5])),
        problems=tuple(problems),
    )


def _torn(header: Sequence[Cell], letters: Sequence[range], answers: Sequence[list[list[Cell]]]) -> bool:
    """Whether a column that was read has another header than the row of headers says: columns moved in between."""
    blocks = zip(letters, answers[len(_ALWAYS) :], strict=True)
    return any(
        (block[offset][:1] or [None])[0] != header[position]
        for run, block in blocks for offset, position in enumerate(run) if offset < len(block)
    )  # fmt: skip


def _by_header(columns: Sequence[list[Cell]]) -> tuple[Mapping[str, Cell], ...]:
    rows = list(zip_longest(*columns))
    header = [_text(name) for name in rows[0]] if rows else []
    return tuple(
        {**dict(zip(header, row, strict=True)), "_row": number}
        for number, row in enumerate(rows[1:], start=2)
        if any(cell is not None for cell in row)
    )


def _letters(header: Sequence[Cell], needed: Sequence[str] | None) -> list[range]:
    """Runs of neighbouring columns that hold the needed headers; of a header that occurs twice the first."""
    names = [h for h in header if h is not None] if needed is None else needed
    positions = sorted({header.index(name) for name in names if name in header})
    runs: list[range] = []
    for position in positions:
        if runs and runs[-1].stop == position:
            runs[-1] = range(runs[-1].start, position + 1)
        else:
            runs.append(range(position, position + 1))
    return runs


def _range(run: range) -> str:
    return f"'{tabs.STOCK}'!{letter(run.start)}1:{letter(run.stop - 1)}"


def _quoted(title: str) -> str:
    return "'" + title.replace("'", "''") + "'"


def _cells(raw: list[Any]) -> list[Cell]:
    """Cells in one form: "" is None and 10.0 is 10. Most columns need no work at all, which is seen fast."""
    if "" not in raw and float not in set(map(type, raw)):
        return raw
    return [None if c == "" else int(c) if type(c) is float and c.is_integer() else c for c in raw]


def _cut(row: list[Cell]) -> list[Cell]:
    while row and row[-1] is None:
        row.pop()
    return row


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def _all_text(sheet: Mapping[str, Any], rows: int) -> bool:
    """Whether every cell below the header is plain text; a row that the answer leaves out has no format."""
    found = [row for block in sheet.get("data", ()) for row in block.get("rowData", ())]
    return len(found) >= rows and all(number_format((row.get("values") or [{}])[0]) == "TEXT" for row in found)
