"""The Stock take tab, read, previewed and posted: `take` is one look at it. (The pure side is `stocktake.py`.)

Up to 100,000 rows may stand there, so the rows are not read with every look: a look brings the settings above them, and
the rows are read again when those changed, and after ten times as long as the last reading took. Nothing is posted on
such a reading. Post waits until a mark that was written above the rows and beside the last of them is seen around the
very rows that were looked at before: a reading newer than the tick, of rows that nobody is changing.

What must outlive the process is kept in the ledger's small state before it is shown: the stock-take's name, when each
figure was first seen, what was posted. Posting is one transaction, and each count has a key of its stock-take and SKU.
"""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from itertools import zip_longest
from typing import Any

import structlog

from sheets_sync import bulk, exchange, guard, review, showing, stocktake, tally
from sheets_sync.adjustments import named
from sheets_sync.bulk import Beside, Heard, Plain, Standing, Table, Whole
from sheets_sync.desk import (
    ARCHIVED,
    FROZEN,
    ROWS,
    STOCK_TAKE,
    STOCK_TAKE_NUMBER,
    STOCK_TAKE_POSTED,
    STOCK_TAKE_SEEN,
    Books,
    Desk,
    kits_of,
    reconcile_questions,
)
from sheets_sync.errors import BadInput
from sheets_sync.exchange import Request
from sheets_sync.ledger import Tx, View
from sheets_sync.model import MAIN, Balance, Cell, Event, Fact, Layout, Lease, Look, Question, StockKey
from sheets_sync.names import bare
from sheets_sync.sheet import tabs
from sheets_sync.sheet.setup import letter
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.stocktake import Grouped, Header, Line, Names, Settings, Take
from sheets_sync.tally import Tally, Totals

log = structlog.get_logger()

KIND = "stock_take"
CHUNK = 5_000
"""SKUs whose histories are in memory at once, and facts of one statement."""

_QUICK = timedelta(milliseconds=500)  # rows that are read as fast as this are read with every look
_IDLE = timedelta(seconds=15)  # an empty tab: what is typed into its first rows comes with every look
_REST = 10  # and others only so many times later than the last reading took
_STALE = timedelta(minutes=2)  # a figure that a reading did not show keeps its time for as long: it may have been stale
_ROWS_AT_ONCE = 6_000  # of one batch: below Google's two megabytes


# what is kept between looks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Body:
    """The rows as one reading showed them; `shows` are the service's cells of those rows."""

    header: Header
    rows: Table
    shows: Beside
    read_at: datetime

    @property
    def last(self) -> int:
        """The lowest row with anything typed in it."""
        return self.rows.numbers[-1] if self.rows else self.header.row


@dataclass
class Seen:
    """What one driver of a sheet keeps of the tab. Losing it costs a reading."""

    typed: tuple[object, ...] = ()  # settings and first rows, as the last look saw them
    body: Body | None = None
    stands: bool = False  # the last two readings found the same rows
    took: timedelta = timedelta(0)
    times: dict[str, datetime] | None = None  # when each figure was first seen; None: not loaded yet
    gone: dict[str, datetime] = field(default_factory=dict)  # figures not seen any more, since when
    barcodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    trusts: bool = False  # a rehearsal, in which nothing lands: no mark will be seen, and nothing is recorded
    mark: str = ""  # written around the rows before they are posted
    posted_texts: dict[str, str] = field(default_factory=dict)  # of a posted stock-take, by SKU
    standing: Standing = field(default_factory=Standing)
    stood: tuple[str, int] = (MAIN, -1)  # whose it is, and the last event that it knows of
    heard: Heard = field(default_factory=Heard)
    places: tuple[tuple[object, Sequence[Cell]], Whole] | None = None  # of these codes among those balances
    preview: Preview | None = None
    base: tuple[object, ...] = ()  # what the preview was made of
    trouble: tuple[tuple[object, ...], str] = ((None,), "")  # why it could not be recorded, and what it was made of
    quiet: tuple[object, ...] = ()  # when all of this was so, nothing was left to do


@dataclass(frozen=True)
class Taken:
    """What a look led to: events; cells to write, in batches of bounded size that are made as they are taken, once;
    `again`: there is more to do at once.
    """

    events: tuple[Event, ...] = ()
    batches: Iterable[Sequence[Request]] = ()
    again: bool = False


# a stock-take against the ledger --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preview:
    """Rows, understood and compared: what Post would record, and what stands in its way.

    `plain` are the counts that were told at once, `others` those that were told one by one (`grouped`).
    """

    plain: Plain
    grouped: Grouped
    others: Mapping[str, Line]
    zeroed: Mapping[str, Line]
    missing: tuple[str, ...]  # C5: with stock, and not counted
    unlisted: tuple[str, ...]  # of those, the ones that stand in no row yet
    totals: Totals
    obstacles: tuple[str, ...]
    doubts: tuple[str, ...]
    choice: str | None
    location: str = MAIN

    @cached_property
    def digest(self) -> str:
        """A name for exactly these counts."""
        where = "" if self.location == MAIN else f" at {self.location}"
        return stocktake.digest_of(self.counts, f"{self.choice}{where}")

    @cached_property
    def lines(self) -> Mapping[str, Line]:
        """What was counted of each SKU."""
        return self.plain.lines() | dict(self.others)

    @cached_property
    def takes(self) -> Mapping[str, Take]:
        """The same without the ledger, also of SKUs that do not count."""
        return {sku: line.take for sku, line in self.lines.items()} | dict(self.grouped.takes)

    @cached_property
    def named(self) -> frozenset[str]:
        """SKUs of rows with a figure, also of one that cannot be read."""
        return self.grouped.named.union(self.plain.skus)

    @property
    def empty(self) -> bool:
        """Whether nothing would be recorded."""
        return not (len(self.plain) or self.others or self.zeroed)

    @cached_property
    def counts(self) -> list[Line]:
        """What would be recorded: SKUs by their rows, then those of no row."""
        return [*sorted(self.lines.values(), key=_first_row), *self.zeroed.values()]


def _first_row(line: Line) -> int:
    return line.take.rows[0]


@dataclass(frozen=True)
class Wishes:
    """What a person chose for a whole stock-take."""

    full: bool = False
    zero_at: datetime | None = None  # since when what was not counted is 0, by an explicit word
    choice: str | None = None
    default_at: datetime | None = None
    location: str = MAIN  # where it was counted


def compare(
    view: View,
    standing: Standing,
    table: Table,
    seen_at: Sequence[datetime],
    names: Names,
    wishes: Wishes,
    zone: tzinfo,
    now: datetime,
    *,
    allowance: timedelta,
    places: Whole | None = None,
    heard: Heard | None = None,
    step: Callable[[int], None] = lambda _: None,
) -> Preview:
    """A whole stock-take against one view of the ledger. `places` are those of the codes among the balances and
    `heard` what was read before, where they are known; `step` hears of SKUs that are done.
    """
    sifted = bulk.sift(
        table, seen_at, names, standing, zone, now, choice=wishes.choice, allowance=allowance,
        default_at=wishes.default_at, places=places,
    )  # fmt: skip
    moves = (heard or Heard()).of(sifted.since, standing, lambda since: view.moves(since, wishes.location))
    plain, rest = sifted.told(moves)
    step(len(plain))

    def grouped_of(places: Sequence[int]) -> Grouped:
        seen = [seen_at[at] for at in places]
        return stocktake.group(
            table.rows(places), seen, names, zone, now, allowance=allowance, default_at=wishes.default_at
        )

    grouped = grouped_of(rest)
    plain, named_twice = plain.without((grouped.named | grouped.blank).intersection(plain.skus))
    if named_twice:  # a barcode or a kit of another row is one of those
        grouped = grouped_of(sorted([*rest, *named_twice]))
    others = dict(_reckoned(view, list(grouped.takes.values()), standing, wishes, now, step))
    flags = dict(grouped.flags)
    for sku in [sku for sku, line in others.items() if line.why]:
        for row in others.pop(sku).take.rows:
            flags[row] = f"? {why_not_summed(sku, grouped.takes[sku])}"
    return _whole(view, standing, table, plain, replace(grouped, flags=flags), others, wishes, now, step)


def _whole(
    view: View, standing: Standing, table: Table, plain: Plain, grouped: Grouped, others: Mapping[str, Line],
    wishes: Wishes, now: datetime, step: Callable[[int], None],
) -> Preview:  # fmt: skip
    """The rows as told, and what they come to together."""
    absent: list[Balance] = []
    if wishes.full:
        named = grouped.named.union(plain.skus)
        absent = stocktake.missing(standing.balances, named, frozenset(view.get(ARCHIVED, ())))
    zeroed: dict[str, Line] = {}
    if wishes.zero_at is not None and absent:
        zeros = [Take(b.key.sku, 0, wishes.zero_at, True, first_at=wishes.zero_at) for b in absent]
        zeroed = dict(_reckoned(view, zeros, standing, wishes, now, step))
    counted, every = Tally.of(plain, [*others.values()]), Tally.of(plain, [*others.values(), *zeroed.values()])
    missing = tuple(b.key.sku for b in absent)
    return Preview(
        plain,
        grouped,
        others,
        zeroed,
        missing,
        tuple(sku for sku in missing if sku not in grouped.blank),
        tally.totals(len(table), len(grouped.flags), every),
        tuple(tally.obstacles(every, wishes.choice)),
        tuple(tally.improbable(counted, grouped.twice, len(zeroed), standing.stocked)),
        wishes.choice,
        wishes.location,
    )


def why_not_summed(sku: str, take: Take) -> str:
    return (
        f"Units of {sku} moved between the times of rows {', '.join(map(str, take.rows[:4]))}, so they cannot be "
        "summed. Count it in one go."
    )


def _reckoned(
    view: View,
    takes: Sequence[Take],
    standing: Standing,
    wishes: Wishes,
    now: datetime,
    step: Callable[[int], None],
) -> Iterator[tuple[str, Line]]:
    """Each take against the ledger; histories are read only where the balance does not tell, some at a time."""
    for start in range(0, len(takes), CHUNK):
        some = takes[start : start + CHUNK]
        slow = [t.sku for t in some if stocktake.needs_facts(t, standing.get(t.sku), wishes.choice, now)]
        facts = _facts_of(view, slow, wishes.location)
        for one in some:
            yield one[0], stocktake.reckon(one, standing.get(one[0]), facts.get(one[0]), wishes.choice, now)
        step(len(some))


def _facts_of(view: View, skus: Collection[str], location: str) -> dict[str, list[Fact]]:
    return {
        sku: [e.fact for e in events if e.is_fact and e.fact.location == location]
        for sku, events in (view.histories(skus) if skus else {}).items()
    }


def names_of(
    view: View, balances: Mapping[StockKey, Balance], skus: Collection[str], barcodes: Mapping[str, tuple[str, ...]]
) -> Names:
    """What may be counted: every SKU with a count, a row or a listing; a kit's components by the kit."""
    named = {key.sku for key in balances} | set(view.get(ROWS, ())) | set(skus)
    return Names(frozenset(named), barcodes, kits_of(view))


def record(tx: Tx, session: str, preview: Preview, *, actor: str) -> list[Event]:
    """Every count of a stock-take, in the caller's transaction; in statements of bounded size."""
    events: list[Event] = []
    lines = preview.counts
    for start in range(0, len(lines), CHUNK):
        some = lines[start : start + CHUNK]
        events += tx.append(stocktake.fact_of(one, session, actor=actor, location=preview.location) for one in some)
    return events


def next_name(tx: Tx) -> str:
    """A stock-take's name, used once; it is its batch in the ledger, too."""
    number = tx.get(STOCK_TAKE_NUMBER, 0) + 1
    tx.put(STOCK_TAKE_NUMBER, number)
    return f"stock-take-{number}"


def frozen(view: View) -> frozenset[str]:
    """C7: the SKUs that no channel may be raised for now."""
    return frozenset(view.get(FROZEN) or ())


def question_of(session: str, preview: Preview, at: datetime) -> Question:
    """What is asked before an improbable stock-take is posted; for exactly these counts."""
    text = (
        f"? held: {session} looks improbable. {' '.join(preview.doubts)} {preview.totals.words()} Correct the rows, or "
        "answer for exactly these counts."
    )
    about: dict[str, Cell] = {"digest": preview.digest, "session": session}
    return guard.ask(KIND, "", text, at, reference=f"{session} {preview.digest[:6]}", about=about)


# a look at the tab ----------------------------------------------------------------------------------------------


def take(
    desk: Desk, workbook: Workbook, look: Look, seen: Seen, books: Books, listed: Callable[[], Collection[str]],
    layout: Callable[[], Layout], lease: Lease | None,
) -> Taken:  # fmt: skip
    """One look: rows are read if they are due, compared with the ledger, shown, and posted where Post is ticked.

    `books` are the balances, brought up to date here; `listed` gives the SKUs that channels list.
    """
    if not look.stock_take:
        return Taken()
    with uncollected():
        return _Look(desk, workbook, look, seen, books, listed, layout, lease).run()


@contextmanager
def uncollected() -> Iterator[None]:
    """A large table is some hundred thousand small things that all stay, and none refers to itself. Python's collector
    would walk over all of them each time that as many more were made: two thirds of the time of a preview.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Look:
    def __init__(
        self, desk: Desk, workbook: Workbook, look: Look, seen: Seen, books: Books,
        listed: Callable[[], Collection[str]], layout: Callable[[], Layout], lease: Lease | None,
    ) -> None:  # fmt: skip
        self.desk, self.workbook, self.seen, self.books, self._listed = desk, workbook, seen, books, listed
        self.layout, self.lease, self.now = layout, lease, desk.clock()
        self.head = look.stock_take
        self.settings = stocktake.settings_of(self.head)
        self.zone: tzinfo = showing.zone_of(layout())
        self.cells: dict[tuple[int, int], Cell] = {}  # (row, column) above the rows -> what differs there
        self.beside: dict[int, tuple[Cell, ...]] = {}  # row -> Expected, Difference, Status, where one of them differs
        self.requests: list[Request] = []
        self.events: tuple[Event, ...] = ()
        self.again = False

    @cached_property
    def listed(self) -> Collection[str]:
        """Asked for only where rows stand."""
        return self._listed()

    def run(self) -> Taken:
        header = stocktake.header_of(self.head)
        if header is None:
            self._say(
                "The header is gone: there is no column SKU and no column Counted. Bring it back: sheets-sync init"
            )
            return self._done()
        if header.twice:
            self._say(f"The header {header.twice[0]!r} stands over two columns; rename one.")
            return self._done()
        if self._due(header) and not self._read(header):
            self.again = True
            return self._done()
        body = self.seen.body
        if body is None:
            return self._done()
        if not self._columns(body):
            return self._done()
        session = self._session(body)
        if session is None:
            self._empty(body)
            return self._done()
        preview = self._preview(body, session)
        now = (body.read_at, self.seen.base, self.books.upto, self.settings, repr(session))
        if now == self.seen.quiet and not preview.doubts:
            return Taken(again=self.again)
        if session.get("posted"):
            self._posted(body, session, preview)
        else:
            self._open(body, session, preview)
        idle = not (self.again or self.cells or self.beside or self.requests)
        self.seen.quiet = now if idle else ()
        return self._done()

    # reading --------------------------------------------------------------------------------------------------

    def _due(self, header: Header) -> bool:
        seen = self.seen
        typed = _typed(self.head, self.settings, header)
        changed, seen.typed = typed != seen.typed, typed
        if seen.body is None or changed or seen.body.header != header or self.settings.post or seen.mark:
            return True
        wait = timedelta(0) if seen.took <= _QUICK else _REST * seen.took
        if not seen.body.rows:
            wait = max(wait, _IDLE)
        return self.now - seen.body.read_at >= wait

    def _read(self, header: Header) -> bool:
        """The rows, once. False where the header is another one by now."""
        seen, before = self.seen, self.seen.body
        places = {*header.at.values(), *header.shown.values()}
        left, right = min(places), max(places)
        began, first = self.desk.clock(), header.row + 1
        title = f"'{tabs.STOCK_TAKE}'"
        # the rows in one range: of several, each might be from another moment
        ranges = [f"{title}!1:{stocktake.HEAD_ROWS}", f"{title}!{letter(left)}{first}:{letter(right)}"]
        head, block = self.workbook.values(ranges, by="COLUMNS")
        self.head = tuple(zip_longest(*head))
        if stocktake.header_of(self.head) != header:
            return False
        self.settings = stocktake.settings_of(self.head)
        seen.typed = _typed(self.head, self.settings, header)
        columns = {place: block[place - left] if place - left < len(block) else [] for place in places}
        rows = bulk.table_of({name: columns[place] for name, place in header.at.items()}, first)
        shown = [columns.get(header.shown.get(name, -1), []) for name in stocktake.SHOWN]
        seen.body = Body(header, rows, Beside(first, shown), began)
        seen.took = self.desk.clock() - began
        seen.stands = before is not None and before.rows == seen.body.rows
        return True

    def _columns(self, body: Body) -> bool:
        """Columns of ours that a pasted header left without a place get one, right of all others."""
        missing = [name for name in stocktake.SHOWN if name not in body.header.shown]
        if not missing:
            return True
        sheet, at = self._tab().id, body.header.width
        if at >= self._tab().columns:
            self.requests.append(
                {"appendDimension": {"sheetId": sheet, "dimension": "COLUMNS", "length": len(missing)}}
            )
        else:
            span = {"sheetId": sheet, "dimension": "COLUMNS", "startIndex": at, "endIndex": at + len(missing)}
            self.requests.append({"insertDimension": {"range": span, "inheritFromBefore": False}})
        for offset, name in enumerate(missing):
            self.cells[body.header.row, at + offset] = name
        self.again = True
        return False

    def _tab(self) -> Any:
        return self.layout().tabs[tabs.STOCK_TAKE]

    # the stock-take that stands there -------------------------------------------------------------------------

    def _session(self, body: Body) -> dict[str, Any] | None:
        """The one that the rows belong to, begun here where there is none; None while no rows stand."""
        with self.desk.ledger.read() as view:
            kept: dict[str, Any] | None = view.get(STOCK_TAKE)
            if self.seen.times is None:
                self.seen.times = _load_times(view)
        if not body.rows:
            if kept is not None and self.seen.stands:
                self._end()
                kept = None
            self.again |= kept is not None
            return None
        if kept is None:
            with self.desk.ledger.begin(self.lease) as tx:
                kept = tx.get(STOCK_TAKE)
                if kept is None:
                    kept = {"name": next_name(tx), "began": body.read_at.isoformat()}
                    tx.put(STOCK_TAKE, kept)
        return kept

    def _end(self) -> None:
        """The rows are gone: so is their stock-take, and with it the freeze."""
        with self.desk.ledger.begin(self.lease) as tx:
            was_frozen = bool(frozen(tx))
            for name in (STOCK_TAKE, STOCK_TAKE_POSTED, STOCK_TAKE_SEEN, FROZEN):
                tx.put(name, None)
            reconcile_questions(tx, (), _is_ours, "its rows are gone")
        self.seen.times, self.seen.gone, self.seen.posted_texts, self.seen.preview = {}, {}, {}, None
        self.seen.mark = ""
        if was_frozen:
            self.desk.wake_others("sheet")

    def _seen_at(self, body: Body) -> list[datetime]:
        """When each row's figure was first seen. New ones are kept in the ledger before they are used."""
        seen, times = self.seen, self.seen.times if self.seen.times is not None else {}
        rows = body.rows
        if not times and None not in rows.at:
            return [self.now] * len(rows)
        untimed = [at for at, cell in enumerate(rows.at) if cell is None]
        figures = (rows.codes, rows.counted, rows.notes)
        every = len(untimed) == len(rows)
        keys = bulk.figure_keys(*(c if every else [c[at] for at in untimed] for c in figures))
        new = [key for key in keys if key not in times]
        now_gone = times.keys() - set(keys)
        seen.gone = {key: seen.gone.get(key, self.now) for key in now_gone}
        old = {key for key, since in seen.gone.items() if self.now - since > _STALE}
        if new or old:
            times = {key: at for key, at in times.items() if key not in old} | dict.fromkeys(new, body.read_at)
            with self.desk.ledger.begin(self.lease) as tx:
                tx.put(STOCK_TAKE_SEEN, _stored_times(times))
            seen.times = times
        first_seen = [self.now] * len(rows)
        for at, key in zip(untimed, keys, strict=True):
            first_seen[at] = times[key]
        return first_seen

    def _preview(self, body: Body, session: Mapping[str, Any]) -> Preview:
        """The rows against the ledger; made anew when either has changed."""
        seen = self.seen
        wishes = self._wishes(session)
        with self.desk.ledger.read() as view:
            self.books.refresh(view)
            known = (self.books.upto, len(self.listed), len(view.get(ROWS, ())), self._stands_until())
            base = (body.rows, wishes, *(known if not session.get("posted") else ("posted",)))
            if seen.preview is not None and seen.base == base:
                return seen.preview
        seen_at = self._seen_at(body)
        with self.desk.ledger.read() as view:
            seen.preview = self._compare(view, body, seen_at, wishes, look_for_barcodes=True)
        seen.base = base
        return seen.preview

    def _stands_until(self) -> str:
        """The minute or hour for which a preview may stand: what a row names may become known, and a day ends."""
        local, preview = self.now.astimezone(self.zone), self.seen.preview
        flagged = preview is not None and bool(preview.grouped.flags)
        return f"{local:%Y-%m-%d %H:%M}" if flagged else f"{local:%Y-%m-%d %H}"

    def _compare(
        self, view: View, body: Body, seen_at: Sequence[datetime], wishes: Wishes, *, look_for_barcodes: bool = False
    ) -> Preview:
        seen, balances = self.seen, self.books.balances
        self._stand(wishes.location)
        at = (seen.stood, body.rows.codes)
        if seen.places is None or seen.places[0] != at:
            seen.places = at, seen.standing.places(body.rows.codes)
        places = seen.places[1]
        if (places >= 0).all():
            names = Names(seen.standing.place.keys(), seen.barcodes, kits_of(view))
        else:
            names = names_of(view, balances, self.listed, seen.barcodes)
            if look_for_barcodes and not names.skus >= set(body.rows.codes):
                seen.barcodes = read_barcodes(self.workbook)
                names = replace(names, barcodes=seen.barcodes)
        allowance = self.desk.settings.limits.clock_allowance
        return compare(
            view, seen.standing, body.rows, seen_at, names, wishes, self.zone, self.now, allowance=allowance,
            places=places, heard=seen.heard,
        )  # fmt: skip

    def _stand(self, location: str) -> None:
        """The balances of a location by column, as the books have them: made while the tab is empty, so that a paste
        finds them.
        """
        if self.seen.stood != (location, self.books.upto):
            self.seen.standing = self.seen.standing if self.seen.stood[0] == location else Standing()
            self.seen.standing.refresh([b for key, b in self.books.balances.items() if key[1] == location])
            self.seen.stood = location, self.books.upto

    def _wishes(self, session: Mapping[str, Any]) -> Wishes:
        settings = self.settings
        if session.get("posted"):
            location = session.get("location", MAIN)
            return Wishes(choice=session.get("choice"), default_at=_moment(session.get("at")), location=location)
        zero_at = _moment(session.get("zero_at")) if settings.zero else None
        return Wishes(settings.full, zero_at, settings.choice, settings.default_at(self.zone), self.location[0])

    @cached_property
    def location(self) -> tuple[str, str]:
        """Where it was counted, as the settings say; and why that cannot be read, in words."""
        said = self.settings.cells.get(stocktake.LOCATION)
        try:
            return named(str(said or "").strip(), self.desk.settings.locations.by_title, stocktake.LOCATION), ""
        except BadInput as error:
            return MAIN, str(error)

    def _where(self, location: str) -> str:
        """The location in words, where there are several."""
        titles = self.desk.settings.locations.by_title
        return f" at {titles.get(location, location)}" if len(titles) > 1 else ""

    # what stands open -----------------------------------------------------------------------------------------

    def _open(self, body: Body, session: dict[str, Any], preview: Preview) -> None:
        session = self._note(session, preview)
        with self.desk.ledger.read() as view:
            started = self.desk.started_at(view) is not None
            approved = bool(preview.doubts) and view.get(review.STOCK_TAKE_SAID + preview.digest) == review.POST_IT
            asked = [q for q in view.questions() if _is_ours(q)]
        problems = [*self.settings.problems(self.zone), *filter(None, (self.location[1],)), *preview.obstacles]
        problems += [] if started else ["Counting has not begun: tick Start in the Channels tab first."]
        problems += ["Nothing is counted yet."] if preview.empty else []
        problems += [self.seen.trouble[1]] if self.seen.trouble[0] == self.seen.base else []
        wanted = self._wants(session, approved)
        doubtful = bool(preview.doubts) and not approved
        held = doubtful and not problems and bool(wanted or asked)
        self._ask([question_of(session["name"], preview, self.now)] if held else [], asked)
        listing = self._list(body, preview)
        if not wanted:
            self.seen.mark = ""
        elif problems or doubtful:
            self.seen.mark = ""
            self._set(stocktake.POST, False)
        elif not listing and self._marked(body):
            try:
                if self._post(body, session, preview):
                    return
            except BadInput as error:  # nothing was recorded
                self.seen.trouble, self.seen.mark, self.again = (self.seen.base, str(error)), "", True
        self._show(body, preview, session)
        self._say(self._state(session, preview, problems, held=held), self._words(preview))

    def _wants(self, session: Mapping[str, Any], approved: bool) -> bool:
        """Post is ticked, in a tab that shows this very stock-take's name; or Review said so."""
        shown = self.settings.cells.get(stocktake.SESSION)
        if not self.settings.post:
            return approved
        if shown == session["name"]:
            return True
        if shown is not None:
            self._set(stocktake.POST, False)  # the tick belongs to another one: an old version came back
        self.again = True
        return False

    def _note(self, session: dict[str, Any], preview: Preview) -> dict[str, Any]:
        """Keep since when what was not counted is 0, and what is frozen."""
        zero_at = session.get("zero_at") if self.settings.zero else None
        if self.settings.zero and zero_at is None:
            zero_at, self.again = self.now.isoformat(), True
        with self.desk.ledger.read() as view:
            held, kits = view.get(FROZEN) or [], kits_of(view)
        named = preview.named | preview.grouped.blank if self.settings.freeze else frozenset()
        freezes = sorted(named | {kit for kit, parts in kits.items() if not named.isdisjoint(parts)})
        after = {**session, "zero_at": zero_at}
        if held == freezes and after == {"zero_at": None, **session}:
            return session
        with self.desk.ledger.begin(self.lease) as tx:
            tx.put(STOCK_TAKE, after)
            tx.put(FROZEN, freezes or None)
        if held != freezes:
            self.desk.wake_others("sheet")
        return after

    def _ask(self, now: Sequence[Question], asked: Sequence[Question]) -> None:
        if {q.key for q in now} == {q.key for q in asked}:
            return
        with self.desk.ledger.begin(self.lease) as tx:
            reconcile_questions(tx, now, _is_ours, "its rows have been changed")

    def _list(self, body: Body, preview: Preview) -> bool:
        """C5: rows for what a full count has not counted; for a person to fill in, or to be set to 0 on purpose."""
        if not preview.unlisted or stocktake.SKU not in body.header.at:
            return False
        at, sheet = body.header.at[stocktake.SKU], self._tab().id
        some = preview.unlisted[:_ROWS_AT_ONCE]
        rows = [exchange.cells_of([*[None] * at, sku]) for sku in some]
        self.requests.append({"appendCells": {"sheetId": sheet, "rows": rows, "fields": "userEnteredValue"}})
        self.again = True
        return True

    def _marked(self, body: Body) -> bool:
        """Whether this reading is newer than the tick, and shows what the one before it showed."""
        seen = self.seen
        shows = body.shows.of(body.last)
        if seen.trusts:
            return seen.stands
        if seen.mark and seen.stands and self.settings.cells.get(stocktake.STATE) == seen.mark == shows[2]:
            return True
        seen.mark = seen.mark or f"Posting: reading everything once more ({secrets.token_hex(3)})"
        self._say(seen.mark)
        self.beside[body.last] = (shows[0], shows[1], seen.mark)
        self.again = True
        return False

    def _post(self, body: Body, session: Mapping[str, Any], preview: Preview) -> bool:
        """One transaction: everything is read again under lock, recorded, and noted as posted. False: not yet."""
        name, seen_at = str(session["name"]), self._seen_at(body)
        self.again = True
        with self.desk.ledger.begin(self.lease) as tx:
            kept = tx.get(STOCK_TAKE)
            if kept is None or kept["name"] != name or kept.get("posted"):
                return False  # another worker was quicker
            self.books.refresh(tx)
            fresh = self._compare(tx, body, seen_at, self._wishes(kept))
            approved = tx.get(review.STOCK_TAKE_SAID + fresh.digest) == review.POST_IT
            if fresh.digest != preview.digest or fresh.obstacles or (fresh.doubts and not approved):
                self.seen.base = ()
                return False  # what happened meanwhile asks something new
            self.events = tuple(record(tx, name, fresh, actor="Stock take"))
            posted = self._note_posted(tx, kept, fresh)
        log.info("stock_take.posted", name=name, counts=len(fresh.counts), events=len(self.events))
        self.seen.mark, self.seen.base = "", ()
        told = zip(fresh.plain.skus, fresh.plain.said(self.zone, self.now, posted=True), strict=True)
        self.seen.posted_texts = dict(told) | {
            sku: stocktake.said(line, self.zone, self.now, posted=True) for sku, line in fresh.others.items()
        }
        self.desk.wake_others("sheet")
        self._posted(body, posted, fresh)
        return True

    def _note_posted(self, tx: Tx, kept: Mapping[str, Any], fresh: Preview) -> dict[str, Any]:
        """In the same transaction: it is posted, nothing is frozen any more, and nothing is asked."""
        default_at = self.settings.default_at(self.zone)
        posted = {
            **kept, "posted": self.now.isoformat(), "counts": len(fresh.counts), "choice": self.settings.choice,
            "at": default_at.isoformat() if default_at else None, "totals": fresh.totals.words(),
            **({"location": fresh.location} if fresh.location != MAIN else {}),
        }  # fmt: skip
        tx.put(STOCK_TAKE, posted)
        tx.put(STOCK_TAKE_POSTED, {line.take.sku: line.take.digest for line in fresh.counts})
        tx.put(FROZEN, None)
        tx.put(review.STOCK_TAKE_SAID + fresh.digest, None)
        reconcile_questions(tx, (), _is_ours, "posted")
        return posted

    # what was posted ------------------------------------------------------------------------------------------

    def _posted(self, body: Body, session: Mapping[str, Any], preview: Preview) -> None:
        """Rows of a posted stock-take stand there until somebody clears them; nothing of them counts again."""
        name = str(session["name"])
        with self.desk.ledger.read() as view:
            posted: dict[str, str] = view.get(STOCK_TAKE_POSTED, {})
            undone = self._undone(view, name, posted)
            same = [s for s, t in preview.takes.items() if posted.get(s) == t.digest]
            if not same and self.seen.stands:
                self._next(body)
                return
            self.again |= not same
            self._texts(view, name, [s for s in same if s not in self.seen.posted_texts], preview, session)
        self._place(body, self._beside_posted(body, name, preview, posted))
        if self.settings.post:
            self._set(stocktake.POST, False)
        self._set(stocktake.SESSION, name)
        when = views_time(datetime.fromisoformat(session["posted"]), self.zone)
        where = self._where(session.get("location", MAIN))
        how = (
            f", and undone since (sheets-sync undo {name})" if undone else f". To take it back: sheets-sync undo {name}"
        )
        self._say(
            f"Posted as {name}{where} on {when}: {stocktake.many(session['counts'], 'SKU')}{how}. {_CLEAR}",
            session["totals"],
        )

    def _beside_posted(self, body: Body, name: str, preview: Preview, posted: Mapping[str, str]) -> Beside:
        """What stands beside the rows: what came of each count that was posted, and that any other does not count."""
        wanted = self._nothing(body)
        for number, why in preview.grouped.flags.items():
            wanted.set(number, (None, None, why))
        for sku, one in preview.takes.items():
            if posted.get(sku) == one.digest:
                first, *others = one.rows
                wanted.set(first, (*body.shows.of(first)[:2], self.seen.posted_texts.get(sku, "posted")))
                text = f"posted: counted with row {first}"
            else:
                others = list(one.rows)
                other = f"{sku} was posted in {name} with another figure; this one does not count."
                without = f"{name} was posted without this row; it does not count."
                text = f"? {other if sku in posted else without} {_CLEAR}"
            for number in others:
                wanted.set(number, (None, None, text))
        for number, text in preview.grouped.kits.items():
            wanted.set(number, (None, None, f"posted: {text}"))
        for number, code in _uncounted(body.rows):
            if code in posted:
                wanted.set(number, (None, None, "posted as 0: it was not counted"))
        return wanted

    def _next(self, body: Body) -> None:
        """None of the posted rows stands there any more: what does is another stock-take."""
        times = self.seen.times
        self._end()
        with self.desk.ledger.begin(self.lease) as tx:
            tx.put(STOCK_TAKE_SEEN, _stored_times(times or {}))
        self.seen.times, self.again = times, True

    def _undone(self, view: View, name: str, posted: Mapping[str, str]) -> bool:
        sku = next(iter(posted), None)
        key, undone = f"stock_take:{name}:{sku}", False
        while view.event_by_key(f"undo:{key}") is not None:
            key, undone = f"undo:{key}", not undone
        return undone

    def _texts(
        self, view: View, name: str, skus: Sequence[str], preview: Preview, session: Mapping[str, Any]
    ) -> None:  # fmt: skip
        """What was recorded of each SKU, in the words of when it was posted; told by the ledger alone."""
        at = datetime.fromisoformat(session["posted"])
        for start in range(0, len(skus), CHUNK):
            for sku, events in view.histories(skus[start : start + CHUNK]).items():
                there = session.get("location", MAIN)
                facts = stocktake.before_post((e for e in events if e.fact.location == there), name)
                one = preview.takes[sku]
                line = stocktake.reckon(one, None, facts, session.get("choice"), at)
                self.seen.posted_texts[sku] = stocktake.said(line, self.zone, at, posted=True)

    # showing --------------------------------------------------------------------------------------------------

    def _show(self, body: Body, preview: Preview, session: Mapping[str, Any]) -> None:
        plain, grouped = preview.plain, preview.grouped
        differences, told = (plain.units - plain.expected).tolist(), plain.said(self.zone, self.now)
        wanted = self._nothing(body)
        wanted.fill(plain.numbers, (plain.expected.tolist(), differences, told))
        for number, why in {**grouped.flags, **grouped.kits}.items():
            wanted.set(number, (None, None, why))
        for line in preview.others.values():
            first, *others = line.take.rows
            if first in grouped.kits:
                continue
            wanted.set(first, (line.expected, line.difference, stocktake.said(line, self.zone, self.now)))
            for number in others:
                if number not in grouped.kits:
                    wanted.set(number, (None, None, f"counted with row {first}"))
        absent = frozenset(preview.missing)
        for number, code in _uncounted(body.rows) if absent else ():
            if code in absent:
                zero = preview.zeroed.get(code)
                wanted.set(number, (None, None, "not counted" if zero is None else "not counted; 0 once posted"))
        if not self.settings.whole:
            first = body.rows.numbers[0]
            wanted.set(first, (*wanted.of(first)[:2], f"? {_NO_SETTINGS}"))
        self._place(body, wanted)
        self._set(stocktake.SESSION, session["name"])
        self._set_totals(preview.totals)

    def _empty(self, body: Body) -> None:
        self._stand(self.location[0])
        self._place(body, self._nothing(body))
        for name in (stocktake.SESSION, stocktake.ROWS, stocktake.FLAGGED, stocktake.SKUS, stocktake.DIFFER,
                     stocktake.UP, stocktake.DOWN, stocktake.VALUE):  # fmt: skip
            self._set(name, None)
        if self.settings.post:
            self._set(stocktake.POST, False)
        self._say("Ready. Paste SKU and Counted below the header; a header of your own pasted with them will do, too.")

    def _nothing(self, body: Body) -> Beside:
        """Room for what stands beside the rows, and for what stands where there are none any more."""
        return Beside(body.shows.first, ((), (), ()), max(body.last, body.shows.last))

    def _place(self, body: Body, wanted: Beside) -> None:
        """The cells of the rows that differ from what they show. A row with a mark keeps it."""
        if self.seen.mark:
            wanted.set(body.last, self.beside.get(body.last, body.shows.of(body.last)))
        self.beside = wanted.unlike(body.shows)
        self.seen.body = replace(body, shows=wanted)

    def _set_totals(self, totals: Totals) -> None:
        value = None if totals.value is None else float(totals.value)
        for name, cell in (
            (stocktake.ROWS, totals.rows), (stocktake.FLAGGED, totals.flagged), (stocktake.SKUS, totals.skus),
            (stocktake.DIFFER, totals.differ), (stocktake.UP, totals.up), (stocktake.DOWN, totals.down),
        ):  # fmt: skip
            self._set(name, cell)
        shows = self.settings.cells.get(stocktake.VALUE)
        if not (value is not None and isinstance(shows, int | float) and abs(shows - value) < 0.005):
            self._set(stocktake.VALUE, value)

    def _set(self, name: str, cell: Cell) -> None:
        """A cell of the settings' row."""
        place = self.settings.at.get(name)
        if place is not None and self.settings.cells.get(name) != cell:
            self.cells[stocktake.SETTINGS_ROW, place] = cell

    def _say(self, state: str, words: str | None = None) -> None:
        """What is to be done or was done, and below it what the count comes to."""
        self._set(stocktake.STATE, state)
        place = self.settings.at.get(stocktake.STATE)
        if place is not None and self.settings.words != words:
            self.cells[stocktake.WORDS_ROW, place] = words

    def _state(
        self, session: Mapping[str, Any], preview: Preview, problems: Sequence[str], *, held: bool
    ) -> str:  # fmt: skip
        if self.seen.mark:
            return self.seen.mark
        if problems:
            state = "Before Post: " + " ".join(problems)
        elif held:
            state = f"Held, not posted: {' '.join(preview.doubts)} Correct the rows, or answer in the Review tab."
        else:
            state = f"Tick Post to record it as {session['name']}{self._where(preview.location)}."
        return f"{state} No channel is raised meanwhile." if self.settings.freeze else state

    def _words(self, preview: Preview) -> str:
        told = [preview.totals.words()]
        if preview.missing:
            then = "0 with Post" if preview.zeroed else "as the ledger has it: Not counted are 0 is not ticked"
            told.append(f"Not counted: {stocktake.many(len(preview.missing), 'SKU')} with stock, {then}.")
        return " ".join(told)

    def _done(self) -> Taken:
        body, sheet = self.seen.body, self._tab().id if self.cells or self.beside else 0
        places = [body.header.shown[name] for name in stocktake.SHOWN] if body is not None and self.beside else []
        above = [_one_cell(sheet, row, column, cell) for (row, column), cell in self.cells.items()]
        batches = requests_of([*self.requests, *above], self.beside, places, sheet)
        return Taken(self.events, batches, self.again)


_NO_SETTINGS = "The settings above the rows are gone, Post among them. Bring them back: sheets-sync init"
_CLEAR = "Clear the rows to begin another stock-take."


# small pieces ---------------------------------------------------------------------------------------------------


def views_time(at: datetime, zone: tzinfo) -> str:
    """A moment for people, in the spreadsheet's own time zone."""
    return f"{at.astimezone(zone):%Y-%m-%d at %H:%M}"


def read_barcodes(workbook: Workbook) -> dict[str, tuple[str, ...]]:
    """The column Barcode of Stock, where a person made one: SKUs by barcode."""
    (head,) = workbook.values([f"'{tabs.STOCK}'!1:1"])
    header = head[0] if head else []
    if stocktake.BARCODE not in header or tabs.SKU not in header:
        return {}
    at = [letter(header.index(name)) for name in (tabs.SKU, stocktake.BARCODE)]
    blocks = workbook.values([f"'{tabs.STOCK}'!{a}2:{a}" for a in at], by="COLUMNS")
    skus, codes = (block[0] if block else [] for block in blocks)
    return barcodes_of(zip(skus, codes, strict=False))


def barcodes_of(pairs: Iterable[tuple[Cell, Cell]]) -> dict[str, tuple[str, ...]]:
    """(SKU, barcode) cells to the SKUs by barcode."""
    found: dict[str, list[str]] = {}
    for sku, code in pairs:
        text = str(code).strip() if isinstance(code, str | int) and not isinstance(code, bool) else ""
        if isinstance(sku, str) and text:
            found.setdefault(bare(text), []).append(sku)
    return {code: tuple(dict.fromkeys(skus)) for code, skus in found.items()}


def requests_of(
    first: list[Request], rows: Mapping[int, Sequence[Cell]], places: Sequence[int], sheet: int
) -> Iterator[list[Request]]:  # fmt: skip
    """`first`, and cells beside rows at these columns: rows below one another together, in batches of bounded size."""
    columns, numbers = _runs(sorted(places)), sorted(rows)
    offset = {place: at for at, place in enumerate(places)}
    batch = first
    for begin in range(0, len(numbers), _ROWS_AT_ONCE):
        for start, end in _runs(numbers[begin : begin + _ROWS_AT_ONCE]):
            for a, b in columns:
                picked = [offset[place] for place in range(a, b)]
                cells = [exchange.cells_of([rows[row][at] for at in picked]) for row in range(start, end)]
                where = exchange.grid_range(sheet, start - 1, end - 1, a, b)
                batch.append({"updateCells": {"range": where, "fields": "userEnteredValue", "rows": cells}})
        yield batch
        batch = []
    if batch:
        yield batch


def _one_cell(sheet: int, row: int, column: int, cell: Cell) -> Request:
    where = exchange.grid_range(sheet, row - 1, row, column, column + 1)
    return {"updateCells": {"range": where, "fields": "userEnteredValue", "rows": [exchange.cells_of([cell])]}}


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring columns together: the first, and one past the last."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def _typed(head: Sequence[Sequence[Cell]], settings: Settings, header: Header) -> tuple[object, ...]:
    """Of the first rows, what people may have changed: settings, and what was typed or pasted."""
    below = [tuple(row[at] for at in header.at.values() if at < len(row)) for row in head[header.row :]]
    return (*(settings.cells.get(name) for name in stocktake.CHOSEN), *below)


def _uncounted(rows: Table) -> Iterator[tuple[int, str]]:
    """Rows that name something and have no figure, with what they name."""
    for number, code, counted in zip(rows.numbers, rows.codes, rows.counted, strict=True):
        if counted is None:
            yield number, str(code)


def _is_ours(question: Question) -> bool:
    return question.kind == KIND


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _stored_times(times: Mapping[str, datetime]) -> dict[str, list[str]]:
    """Many figures are seen at one time: a paste is one entry."""
    out: dict[str, list[str]] = {}
    for key, at in times.items():
        out.setdefault(at.isoformat(), []).append(key)
    return out


def _load_times(view: View) -> dict[str, datetime]:
    kept: dict[str, list[str]] = view.get(STOCK_TAKE_SEEN) or {}
    return {key: datetime.fromisoformat(at) for at, keys in kept.items() for key in keys}
