"""One pass over the sheet: look, decide, record, exchange, settle. (A channel's pass is `channel_sync.py`.)

Every decision here is a call to a pure module: `edits.find` says which rows to exchange, `exchange.compose` makes the
batch, `exchange.settle` says what people typed. This file carries things between the ledger and the sheet, in an order
that no crash can spoil: the intention is recorded before the batch is sent, and the image decides afterwards, whenever
that is. No transaction is open during a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from sheets_sync import (
    adjusting,
    answered,
    answering,
    counting,
    edits,
    exchange,
    gaps,
    healing,
    keeping,
    kits_tab,
    knowing,
    levels,
    pausing,
    recovery,
    review,
    showing,
    views,
)
from sheets_sync.desk import (
    ADOPTING,
    ARCHIVED,
    CHAIN,
    IMPORTED,
    LEDGER_SHOWN,
    PRIMARY,
    ROWS,
    START_WANTED,
    Books,
    Desk,
    Shelf,
    reconcile_questions,
    remember,
)
from sheets_sync.errors import BadInput, ExchangeRefused, OutcomeUnknown, SheetNotReady
from sheets_sync.exchange import Image, Intent, Place, Request
from sheets_sync.ledger import Tx, View
from sheets_sync.model import (
    MAIN,
    Cell,
    Event,
    Fact,
    Layout,
    Lease,
    Listing,
    Look,
    Mark,
    Origin,
    Question,
)
from sheets_sync.remarks import Standing, remarks
from sheets_sync.sheet import setup, tabs
from sheets_sync.sheet.workbook import Workbook

log = structlog.get_logger()

SHEET_KINDS = frozenset(
    "text below_zero other_tag used_tag untagged stray reason undo is_order restored moved_column formula_held "
    "duplicate alike sku_number late_note rename "
    "vanished mass jump cleared rows_missing".split()
)
HELD_KINDS = frozenset("text jump below_zero reason undo is_order restored moved_column formula_held".split())
"""Of those, the ones that hold a typed figure in its cell while Status shows the ledger's (H2)."""

_LAYOUT_AGE = timedelta(minutes=5)
_STALE_FOR = timedelta(seconds=30)  # reads may lag behind writes; a workbook that was restored stays behind
NEWEST = "newest"  # of an exchange: the newest event as its look began
_REFUSALS = 3  # in a row: people who delete rows while we write are not that quick
_ADDED_AT_ONCE = 500
_EVENTS_AT_ONCE = 1_000
_OTHERS = (tabs.STOCK_TAKE, *keeping.TABS)  # tabs that a pass reads besides


@dataclass
class Memory:
    """What one driver of a sheet keeps between two passes. Losing it costs a pass, never a figure."""

    before: edits.Before = field(default_factory=edits.Before)
    books: Books = field(default_factory=Books)
    shelves: dict[str, Shelf] = field(default_factory=dict)
    layout: Layout | None = None
    layout_at: datetime | None = None
    stale_since: datetime | None = None
    refusals: int = 0
    notes: Standing = field(default_factory=Standing)  # Reason and Note without a change
    decided: dict[str, review.Decision] = field(default_factory=dict)  # decisions as the last look saw them
    given: set[str] = field(default_factory=set)  # of those, the ones that were carried out
    adjustments: adjusting.Seen = field(default_factory=adjusting.Seen)
    pages: keeping.Seen = field(default_factory=keeping.Seen)  # the tabs beside Stock
    counting: counting.Seen = field(default_factory=counting.Seen)  # the Stock take tab
    header: list[str] = field(default_factory=list)  # of Stock, as it was noted last
    checked_at: datetime | None = None  # when formats and protection were compared last
    beside: tuple[str, ...] = ()  # of the columns that people fill in beside On hand, those that the last look saw
    levels: levels.Typed | None = None  # the Low-stock levels as they were noted last
    paused: pausing.Typed = field(default_factory=pausing.Typed)  # what stands there, and what is wrong with it
    untaken: dict[str, str] = field(default_factory=dict)  # why an answer was not taken, by question


@dataclass(frozen=True)
class Report:
    """What a pass did. `again`: there is more to do at once."""

    again: bool = False
    events: tuple[Event, ...] = ()
    rows: int = 0
    problems: tuple[str, ...] = ()
    writes: tuple[edits.RowWrite, ...] = ()
    adjustments: tuple[Fact, ...] = ()  # of a rehearsal: what the rows of Adjustments would record
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True)
class _Facts:
    """What the ledger said when the pass began, in one snapshot."""

    head: str
    started: bool
    known: edits.Known
    wanted: edits.Wanted
    rows: frozenset[str]
    listings: tuple[Listing, ...]
    shown: int
    channels: tuple[views.ChannelState, ...]


def sheet_pass(desk: Desk, workbook: Workbook, memory: Memory, lease: Lease | None) -> Report:
    """One pass. Raises SheetNotReady where a person must act; what it could not finish, the next pass does."""
    return _Pass(desk, workbook, memory, lease).run()


def rehearse(desk: Desk, workbook: Workbook) -> Report:
    """What a pass would do if what stands in the sheet now stood over two looks.

    The desk's ledger is written, so it must be a copy; of the workbook `send` is called, and must not send
    (`rehearsal.py`).
    """
    memory = Memory()
    memory.counting.trusts = True
    first = _Rehearsal(desk, workbook, memory)
    report = first.run()
    if report.problems:
        return report
    return _Rehearsal(desk, workbook, memory, first.seen).run()


class _Pass:
    def __init__(self, desk: Desk, workbook: Workbook, memory: Memory, lease: Lease | None) -> None:
        self.desk, self.workbook, self.memory, self.lease = desk, workbook, memory, lease
        self.events: list[Event] = []
        self.adjusted, self.counted = adjusting.Taken(), counting.Taken()
        self.pages = keeping.Kept()
        self.late: Mapping[str, tuple[str, str]] = {}  # S5: texts that stood too long to belong to an edit
        self.follows: str | None = None  # the exchange of an older workbook that this pass follows
        self.newest = 0  # the newest event as the look began

    # the three steps ------------------------------------------------------------------------------------------

    def run(self) -> Report:
        try:
            look = self._look()
        except SheetNotReady:
            if self._heal() or self._tabs_gone(self.workbook.layout()):
                return Report(again=True)
            raise
        if look.problems:
            return self._mend_header(look)
        if not self._follow(look.mark):
            return Report(again=bool(self.memory.stale_since is None), events=tuple(self.events))
        if self._tabs_gone(self._layout()):
            return Report(again=True, events=tuple(self.events))
        self._keep_header(look)
        self.memory.levels = levels.note(self.desk, look, self.memory.levels)
        self.memory.paused = pausing.note(self.desk, look, showing.zone_of(self._layout()))
        self._answers(look)
        self.adjusted = adjusting.take(self.desk, look.adjustments, self.memory.adjustments, self.lease)
        self.events += self.adjusted.events
        self.counted = self._count(look)
        self.events += self.counted.events
        self.pages = keeping.take(self.desk, self.workbook, self.memory.pages, self._layout, self.lease)
        facts, found = self._understand(look)
        self.late = facts.known.late
        self.memory.notes.seen(found.notes, look.began_at)
        if not facts.known.adopting:
            self._note(look, facts, found)
        self.memory.before = found.before
        try:
            rows = self._exchange_all(look, facts, found)
        except OutcomeUnknown as error:
            return self._unfinished(found, error)
        except (ExchangeRefused, BadInput) as error:
            self.memory.refusals += 1
            if self.memory.refusals >= _REFUSALS:
                self._explain(error)
            return self._unfinished(found, error)
        self.memory.refusals = 0
        if facts.known.adopting:  # it landed: the workbook did go back, and only now is that asked about
            self._note(look, facts, found)
        if self.events:
            self.desk.wake_others("sheet")
        return Report(
            bool(rows or self.events or self.adjusted.again or self.counted.again or self.pages.again),
            tuple(self.events),
            rows,
            writes=found.writes,
            questions=found.questions,
        )

    def _unfinished(self, found: edits.Found, error: Exception) -> Report:
        log.info("sheet.exchange", outcome=type(error).__name__, detail=str(error)[:200])
        self.memory.layout = None
        return Report(again=True, events=tuple(self.events), questions=found.questions)

    def _explain(self, error: Exception) -> None:
        """Refused again and again: raises what a person has to know; returns where the chain has just moved on."""
        if isinstance(error, BadInput):
            raise error
        chain = recovery.chain_id(self.desk, self.workbook)
        with self.desk.ledger.read() as view:
            if chain and view.issued(chain):
                return
        if not chain and self._heal():
            return
        raise SheetNotReady(
            "The spreadsheet's chain is not the one that we made, so nothing can be written safely. Nothing was taken "
            "or written. Undo what changed it, restore the newest version in File > Version history, or say which of "
            "the two stands: `sheets-sync adopt`."
        ) from error

    def _heal(self) -> bool:
        self.memory.layout = None
        return recovery.heal(self.desk, self.workbook, self.lease)

    def _tabs_gone(self, layout: Layout) -> bool:
        """Our tabs are put back where they were deleted; and now and then formats and protection are, too."""
        now, checked = self.desk.clock(), self.memory.checked_at or self.desk.clock()
        self.memory.checked_at = checked
        if healing.tabs_gone(self.desk, self.workbook, layout):
            self.memory.layout = None
            return True
        if now - checked < healing.EVERY:
            return False
        self.memory.checked_at = now
        return bool(healing.repair(self.desk, self.workbook))

    def _keep_header(self, look: Look) -> None:
        """What Stock's header was when all was well."""
        header = ["" if cell is None else str(cell) for cell in look.header]
        if header != self.memory.header:
            with self.desk.ledger.begin(self.lease) as tx:
                tx.put(healing.HEADER, header)
            self.memory.header = header

    def _mend_header(self, look: Look) -> Report:
        """A header that is gone is put back where nothing else can be meant; else a person has to act."""
        with self.desk.ledger.read() as view:
            saved, head = view.get(healing.HEADER, []), view.head()
            skus = {key.sku for key in view.balances()}
        if look.mark.exchange != head:
            return Report(problems=look.problems)
        second = self.workbook.values([f"'{tabs.STOCK}'!2:2"])[0]
        stock = self._layout().tabs[tabs.STOCK].id
        found = healing.header_gone(saved, look.header, second[0] if second else [], skus, stock)
        if isinstance(found, str):
            return Report(problems=(found,))
        if found is None:
            return Report(problems=look.problems)
        if found.requests:
            nothing = edits.Found((), (), frozenset(), edits.Before())
            self._one(look, nothing, (), head, found.requests, {})
        elif not healing.repair(self.desk, self.workbook):
            return Report(problems=look.problems)
        log.warning("sheet.header", put_back=len(found.requests))
        self.memory.layout = None
        return Report(again=True)

    # looking --------------------------------------------------------------------------------------------------

    def _look(self) -> Look:
        with self.desk.ledger.read() as view:
            restore = {str(item["column"]) for _, item in view.put_backs()}
            self.newest = view.last_event_id()
        shown = (*self.desk.on_hand_at.values(), *self.desk.titles.values())
        service = ("Committed", "Damaged", "Available", *shown, edits.STATUS, edits.UPDATED)
        needed = dict.fromkeys((*edits.NEEDED, *service, *self.memory.beside))
        look = self.workbook.look(tuple(needed))
        self.memory.beside = tuple(column for column in (tabs.LOW_STOCK, tabs.PAUSED) if column in look.header)
        extra = [column for column in restore if column not in needed and column in look.header]
        return self.workbook.look((*needed, *extra)) if extra else look

    def _follow(self, mark: Mark) -> bool:
        """Whether the look shows our last settled exchange; another one of ours is settled first."""
        with self.desk.ledger.read() as view:
            head, payload = view.head(), view.intent(mark.exchange)
        intent = exchange.load(payload) if payload else None
        next_one = intent is not None and mark.exchange != head and (intent.previous == head or intent.adopt)
        if not head and not next_one:
            raise SheetNotReady("This spreadsheet has not been set up from this ledger yet: run `sheets-sync init`.")
        if mark.ledger and mark.ledger != self.desk.ledger.id:
            raise SheetNotReady(
                f"This spreadsheet belongs to another ledger ({mark.ledger}), ours is {self.desk.ledger.id}. "
                "Nothing was taken or written. Use the database it was set up with, or a new spreadsheet, or say which "
                "of the two stands: `sheets-sync adopt`."
            )
        if mark.spreadsheet and mark.spreadsheet != self.workbook.spreadsheet_id:
            raise SheetNotReady(
                "This spreadsheet is a copy of another one that we drive. Nothing was taken or written. "
                "Put the original's id into [sheet] spreadsheet_id, or take this one over: `sheets-sync adopt`."
            )
        if mark.exchange == head:
            self.memory.stale_since = None
            return True
        if intent is not None and next_one:  # it landed, whatever answer we got; its image still stands
            self.memory.stale_since = None
            self.memory.layout = None  # it may have inserted rows
            self.events += self._settle(intent, self._image(intent))
            return False  # the look was made before this was settled
        if not mark.exchange:
            return self._unmarked(mark, head)
        return self._behind(mark, payload is not None)

    def _unmarked(self, mark: Mark, head: str) -> bool:
        """`_exchange` was emptied: the chain itself tells where we are."""
        chain = recovery.chain_id(self.desk, self.workbook)
        if chain == head:
            return True
        skus = recovery.bearers(self.workbook).get(chain, ())
        with self.desk.ledger.begin(self.lease) as tx:
            payload = (tx.intent(chain) if chain else None) or None
            if payload is not None:
                recovery.forget(tx, self.desk, exchange.load(payload), landed=True, skus=skus)
            followed = payload is None and bool(chain) and tx.issued(chain)
        if followed:  # in an old version, besides
            return self._behind(mark._replace(exchange=chain), ours=True)
        if payload is None and (chain or not self._heal()):
            raise SheetNotReady(
                "The spreadsheet's chain is unknown to this ledger. Nothing was taken or written. Say which of the two "
                "stands: `sheets-sync adopt`."
            )
        return False

    def _behind(self, mark: Mark, ours: bool) -> bool:
        if not ours:
            raise SheetNotReady(
                f"The spreadsheet's last exchange ({mark.exchange or 'none'}) is unknown to this ledger, "
                "so the ledger is older than the sheet (a backup?) or `_exchange` was changed. "
                "Nothing was taken or written. Say which of the two stands: `sheets-sync adopt`."
            )
        now = self.desk.clock()
        self.memory.stale_since = self.memory.stale_since or now
        if now - self.memory.stale_since <= _STALE_FOR or self._was_stale(mark):
            return False
        name, chain = recovery.chain_now(self.desk, self.workbook, mark.exchange)  # a restore may not bring it back
        with self.desk.ledger.begin(self.lease) as tx:
            if chain:
                tx.put(CHAIN, name)
            else:
                tx.put(ADOPTING, True)  # what was typed in that version is asked about, whatever chain it gets
        if not chain:
            return self._new_chain()
        self._landed_late(chain)
        self.follows = chain
        return True

    def _landed_late(self, chain: str) -> None:
        """Where a request of ours that nobody waited for any more found just the old version that it was made for, what
        it overwrote there is asked about. What it was for is not known any more.
        """
        with self.desk.ledger.read() as view:
            if view.landed(chain):
                return
        values = self.workbook.read_image(chain)
        if values is None or (image := exchange.read_image(values, chain)) is None:
            return
        skus = recovery.bearers(self.workbook).get(chain, set())
        with self.desk.ledger.begin(self.lease) as tx:
            tx.ask(exchange.overwritten(image, skus, self.desk.clock()))

    def _was_stale(self, mark: Mark) -> bool:
        """Whether only the looks were old: two of them may be, a minute apart, where nobody looked between."""
        (rows,) = self.workbook.values([f"'{tabs.EXCHANGE}'!A1"])
        return bool(rows and rows[0]) and rows[0][0] != mark.exchange

    def _new_chain(self) -> bool:
        if not self._heal():
            raise SheetNotReady(
                "An old version of the spreadsheet was brought back, and its chain is none of ours. Nothing was taken "
                "or written. Say which of the two stands: `sheets-sync adopt`."
            )
        self.memory.stale_since = None
        return False

    def _answers(self, look: Look) -> None:
        """Decisions in Review that stand over two looks are carried out, once, each in a transaction of its own."""
        decided = {d.id: d for d in review.decisions([row for row in look.review if not answered.is_done(row)])}
        given = self.memory.given = self.memory.given & decided.keys()
        for id, decision in decided.items():
            before = self.memory.decided.get(id)
            if before is None or replace(before, row=decision.row) != decision or id in given:
                continue
            try:
                self.events += answering.answer(
                    self.desk, id, decision.word, units=review.units(decision), note=decision.note, actor="Review"
                )  # fmt: skip
                given.add(id)  # asked once more, it gets a row of its own once this one is done
            except BadInput as error:
                self.memory.untaken[id] = str(error)
        self.memory.decided = decided
        self.memory.untaken = {id: why for id, why in self.memory.untaken.items() if id in decided}

    # deciding -------------------------------------------------------------------------------------------------

    def _count(self, look: Look) -> counting.Taken:
        """A look at the Stock take tab."""
        memory = self.memory
        with self.desk.ledger.read() as view:
            for name in self.desk.settings.channels:
                memory.shelves.setdefault(name, Shelf()).refresh(view, name)

        def listed() -> set[str]:
            return {sku for shelf in memory.shelves.values() for sku, refs in shelf.by_sku.items() if refs}

        return counting.take(
            self.desk, self.workbook, look, memory.counting, memory.books, listed, self._layout, self.lease
        )  # fmt: skip

    def _understand(self, look: Look) -> tuple[_Facts, edits.Found]:
        with self.desk.ledger.read() as view:
            facts = self._facts(view, look)
        found = edits.find(look, facts.known, facts.wanted, self.memory.before, started=facts.started)
        rows = {write.row for write in found.writes if edits.ON_HAND in write.cells}
        if not rows:
            return facts, found
        typed = self._on_hand(look, max(rows), formulas=True)
        formulas = {row: str(typed[row]) for row in rows if edits.refers(typed.get(row))}
        if sums := [row for row in rows - formulas.keys() if edits.is_formula(typed.get(row))]:
            now = self._on_hand(look, max(sums))
            for row in sums:  # it may have been typed since the look
                typed[row] = edits.sum_as_it_stands(typed[row], now.get(row))
        if formulas:
            facts = replace(facts, known=replace(facts.known, formulas=formulas))
            found = edits.find(look, facts.known, facts.wanted, self.memory.before, started=facts.started)
        return facts, replace(found, writes=tuple(w for w in found.writes if not edits.elsewhere(w, typed)))

    def _on_hand(self, look: Look, last: int, *, formulas: bool = False) -> dict[int, Cell]:
        """S6: On hand by row, with formulas as they were typed. Rows may have moved since the look."""
        column = setup.letter(look.header.index(edits.ON_HAND))
        cells = self.workbook.values([f"'{tabs.STOCK}'!{column}1:{column}{last}"], by="COLUMNS", formulas=formulas)[0]
        found: dict[int, Cell] = dict(enumerate(cells[0] if cells else [], start=1))
        return found if found.get(1) == edits.ON_HAND else {}  # else columns have moved

    def _facts(self, view: View, look: Look) -> _Facts:
        books, desk = self.memory.books, self.desk
        books.refresh(view)
        for name in desk.settings.channels:
            self.memory.shelves.setdefault(name, Shelf()).refresh(view, name)
        listings = tuple(item for shelf in self.memory.shelves.values() for item in shelf.listings.values())
        stock = {
            k.sku: b.stock for k, b in books.balances.items()
            if b.counted and k.location == MAIN and k.sku not in books.kits
        }  # fmt: skip
        asked = [q for q in view.questions() if q.kind in SHEET_KINDS or q.origin is Origin.IMAGE]
        service = views.stock_cells(
            books.balances, listings, desk.titles, books.last, gaps.by_sku(asked), desk.on_hand_at
        )  # fmt: skip
        for kit, says in kits_tab.kit_rows(view).items():
            service["Available"][kit], service["Status"][kit] = books.available.get(kit), says
        paused, status = self.memory.paused, service[edits.STATUS]
        status |= pausing.shown(view, look.began_at, desk.titles, status)
        for wrong in (paused.skus, (self.memory.levels or levels.Typed()).wrong):
            status |= views.flagged(status, wrong)
        typed, pairs = knowing.typed_skus(look), knowing.typed_pairs(look)
        put_backs = [edits.PutBack(id=n, **item) for n, item in view.put_backs()]
        rows = frozenset(view.get(ROWS, ()))
        return _Facts(
            head=self.follows or view.head(),
            started=desk.started_at(view) is not None,
            known=edits.Known(
                stock,
                view.taken(pairs),
                knowing.answered(view, pairs),
                held=knowing.held(asked, HELD_KINDS),
                holds=desk.holds,
                masses=knowing.held_in_cells(asked),
                approved=knowing.approved(view, pairs),
                adopting=self.follows is not None or bool(view.get(ADOPTING)),
                computed=knowing.computed(asked),
                kept=knowing.kept(asked),
                late=self.memory.notes.late(look.began_at),
                moved=knowing.moved_columns(asked),
                restored=frozenset((str(q.about.get("exchange")), q.sku) for q in asked if q.kind == "restored"),
                last_edit=knowing.last_edits(view.last_edits(typed), books.last),
                orders=adjusting.orders_known(view, desk, typed),
                orders_asked=adjusting.orders_held(view.questions()),
                kits=frozenset(books.kits),
                strays=knowing.strays(view, look, stock, look.began_at),
            ),
            wanted=edits.Wanted(
                service,
                views.serial(desk.clock(), showing.zone_of(self._layout())),
                rows,
                put_backs,
                frozenset(q.sku for q in asked if q.kind == "vanished"),
                {q.sku: frozenset(q.reference.split("\n")) for q in asked if q.kind == "rename"},
                tuple(desk.titles.values()),
            ),
            rows=rows,
            listings=listings,
            shown=view.get(LEDGER_SHOWN, 0),
            channels=showing.channel_states(desk, view, listings, stock, paused.channels),
        )

    def _note(self, look: Look, facts: _Facts, found: edits.Found) -> None:
        """Record what the look alone tells: questions, rows seen, ticks, put-backs that are done. Nothing of stock."""
        ticks = _ticks(look, self.desk.titles)
        new_rows = found.skus - facts.rows
        waiting = {item.sku for item in facts.wanted.put_backs}  # what was asked there may stand there again
        with self.desk.ledger.read() as view:
            standing = [q for q in view.questions() if _in_cell(q)]
            kept = {q.key for q in standing if q.sku in waiting}
            asked = [q for q in found.questions if q.key not in kept]
            changed = {q.key for q in standing} - kept != {q.key for q in asked}
            wish = ticks.primary - {self.desk.primary(view)}
        notes = self.memory.notes.settled()
        if not (changed or new_rows or found.done or ticks.start or wish or notes):
            return
        with self.desk.ledger.begin(self.lease) as tx:
            ends = "what was typed has been put right"
            reconcile_questions(tx, asked, lambda q: _in_cell(q) and q.key not in kept, ends)
            tx.close_put_backs(found.done)
            tx.ask(found.lost)
            self._remark(tx, notes)
            if new_rows:
                tx.put(ROWS, sorted(set(tx.get(ROWS, ())) | found.skus))
                tx.put(ARCHIVED, sorted(set(tx.get(ARCHIVED, ())) - found.skus))
            self._take_ticks(tx, ticks, facts)
        if ticks.start and not facts.started:
            self.desk.wake("start")

    def _remark(self, tx: Tx, notes: Mapping[str, tuple[str, str]]) -> None:
        """S5: what explains an edit after it was taken."""
        waiting = {(item["sku"], item["column"]) for _, item in tx.put_backs()}
        for fact, clear in remarks(notes, tx.last_edits(notes), self.desk.clock()):
            self.events += tx.append([fact])
            tx.add_put_backs(item for item in clear if (item["sku"], item["column"]) not in waiting)

    def _take_ticks(self, tx: Tx, ticks: _Ticks, facts: _Facts) -> None:
        wish = ticks.primary - {self.desk.primary(tx)}
        if len(wish) == 1 and tx.get(IMPORTED) is None and not facts.started:
            tx.put(PRIMARY, *wish)
        for name in wish if tx.get(IMPORTED) is not None or facts.started else ():
            remember(tx, name, progress=f"not made the primary: {showing.stays_primary(self.desk, tx)}")
        if facts.started:
            return
        if ticks.start and not tx.get(START_WANTED):
            tx.put(START_WANTED, {"at": self.desk.clock().isoformat(), "row": ticks.start})

    # acting ---------------------------------------------------------------------------------------------------

    def _exchange_all(self, look: Look, facts: _Facts, found: edits.Found) -> int:
        """Every row that needs it, in batches of bounded size, then what is left to show. Returns the rows written."""
        rows = sorted(found.writes, key=lambda w: w.row)
        written, previous, adopts = len(rows), facts.head, facts.known.adopting
        while rows or adopts:
            fit = exchange.fitting(rows, self.desk.limits) if rows else 0
            extra = {"top": self._top_event()} if adopts else {}
            previous = self._one(look, found, rows[:fit], previous, (), extra, adopt=adopts)
            rows, adopts = rows[fit:], False
        for batch in self.counted.batches:
            previous = self._one(look, found, (), previous, batch, {})
            self._grown(batch)
        added = self._added(look, facts, found)
        more, extra = self._more(look, facts, added)
        if more:
            self._one(look, found, (), previous, more, extra)
            self._grown(more)
        return written + len(added)

    def _one(
        self, look: Look, found: edits.Found, rows: Sequence[edits.RowWrite], previous: str, more: Sequence[Request],
        extra: Mapping[str, Any], *, adopt: bool = False,
    ) -> str:  # fmt: skip
        """One exchange, from intention to settlement. Returns its id."""
        with self.desk.ledger.begin(self.lease) as tx:
            place = place_of(self._layout(), self.desk.ledger.id, recovery.chain_name(tx))
            intent = exchange.plan(
                recovery.exchange_id(tx),
                previous,
                look.header,
                rows,
                found.skus,
                look.began_at,
                gap=self.desk.limits.image_gap,
                extra={**extra, NEWEST: self.newest},
                adopt=adopt,
                served=found.served,
            )
            tx.intend(intent.exchange, previous, exchange.dump(intent))
        try:
            self.workbook.send(exchange.compose(intent, place, more))
        except ExchangeRefused:
            with self.desk.ledger.begin(self.lease) as tx:
                tx.set_intent_state(intent.exchange, "refused")
            raise
        image = self._image(intent) if rows else Image(intent.exchange, previous, (), ())
        self.events += self._settle(intent, image)
        return intent.exchange

    def _image(self, intent: Intent) -> Image:
        values = self.workbook.read_image(intent.exchange, intent.width)
        image = exchange.read_image(values, intent.exchange) if values else None
        if image is None:
            raise OutcomeUnknown(f"the image of exchange {intent.exchange} is not to be seen yet")
        return self._with_formulas(intent, image) if exchange.typed_in_gap(image, intent) else image

    def _with_formulas(self, intent: Intent, image: Image) -> Image:
        """S6: the second copy of On hand, read as it was typed."""
        column = setup.letter(intent.width)
        ranges = [f"'{tabs.EXCHANGE}'!{name}1:{name}{len(image.rows) + 3}" for name in ("A", column)]
        blocks = self.workbook.values(ranges, by="COLUMNS", formulas=True)
        ids, cells = (block[0] if block else [] for block in blocks)
        if not ids or {ids[0], ids[-1]} != {intent.exchange}:
            raise OutcomeUnknown(f"the image of exchange {intent.exchange} is not to be seen whole")
        return exchange.with_formulas(image, cells)

    def _settle(self, intent: Intent, image: Image) -> list[Event]:
        """One transaction: what the image says is recorded, once, and the chain's head moves."""
        now = self.desk.clock()
        with self.desk.ledger.begin(self.lease) as tx:
            follows = intent.adopt or tx.head() == intent.previous
            if not follows or not tx.settle_once(intent.exchange, exchange.digest(image)):
                return []  # another worker has settled it
            skus, pairs = exchange.named(image, intent)
            known = replace(knowing.known_of(tx, self.desk, skus, pairs, adopting=intent.adopt), late=self.late)
            before = knowing.counted_before(tx, known.counted_at, intent.made_at, intent.extra.get(NEWEST))
            known = replace(known, counted_before=before)
            settlement = exchange.settle(image, intent, known, now)
            events = tx.append(settlement.facts)
            tx.take({**settlement.taken, **knowing.undone_marks(settlement.undone)})
            tx.ask(knowing.about_theirs(tx, settlement.questions, now))
            tx.add_put_backs(settlement.put_back)
            tx.add_put_backs(settlement.left, closed=True)
            tx.close_put_backs(settlement.restored)
            if "shown" in intent.extra:
                tx.put(LEDGER_SHOWN, max(tx.get(LEDGER_SHOWN, 0), intent.extra["shown"]))
            if intent.extra.get("added"):
                tx.put(ROWS, sorted(set(tx.get(ROWS, ())) | set(intent.extra["added"])))
            if intent.adopt:
                self._went_back(tx, intent)
            tx.set_head(intent.exchange)
        if events:
            self.desk.wake_others("sheet")  # the shops need not wait until the sheet shows it
        for event in events:
            log.info("event", id=event.id, kind=event.fact.kind, sku=event.fact.sku, change=event.change.on_hand)
        return events

    def _went_back(self, tx: Tx, intent: Intent) -> None:
        """The workbook is an older one: it has the rows that it has, and shows the events that it shows."""
        tx.put(ROWS, sorted(intent.skus))
        tx.put(LEDGER_SHOWN, min(intent.extra.get("top", 0), tx.last_event_id()))
        tx.put(ADOPTING, None)
        log.warning("workbook.went_back", follows=intent.previous)

    def _top_event(self) -> int:
        """The newest event that the Ledger tab shows."""
        rows = self.workbook.values([f"'{tabs.LEDGER}'!1:2"])[0]
        named = dict(zip(rows[0], rows[1], strict=False)) if len(rows) > 1 else {}
        top = named.get(tabs.EVENT)
        return top if isinstance(top, int) else 0

    # what else the sheet shows --------------------------------------------------------------------------------

    def _added(self, look: Look, facts: _Facts, found: edits.Found) -> list[str]:
        """SKUs that should have a row and never had one: what the primary marketplace brought, and what is counted."""
        with self.desk.ledger.read() as view:
            primary, archived = self.desk.primary(view), view.get(ARCHIVED, ())
        wanted = dict.fromkeys(item.sku for item in facts.listings if item.sku and item.channel == primary)
        wanted |= dict.fromkeys(facts.known.stock)
        for sku in archived:
            wanted.pop(sku, None)
        return [sku for sku in wanted if sku not in facts.rows and sku not in found.skus][:_ADDED_AT_ONCE]

    def _grown(self, requests: Sequence[Request]) -> None:
        """The sizes that we remember, after a batch that landed."""
        if self.memory.layout is not None:
            self.memory.layout = showing.resized(self.memory.layout, requests)

    def _more(self, look: Look, facts: _Facts, added: Sequence[str]) -> tuple[list[Request], dict[str, Any]]:
        """Ledger rows, cells of the Channels tab and rows added, as requests of the closing batch."""
        desk, layout = self.desk, self._layout()
        with desk.ledger.read() as view:
            facts = self._facts(view, look) if self.events else facts
            events, primary = self._unshown(view, facts.shown), desk.primary(view)
        listings = sorted(facts.listings, key=lambda item: item.channel == primary)  # its words are the last
        titles = {item.sku: item.title for item in listings if item.sku}
        requests: list[Request] = [*self.pages.requests]
        extra: dict[str, Any] = {}
        channels = self._channel_requests(look, facts, layout)
        adjusted = self.adjusted.cells
        changed, arranged, asked = self._review_changes(look, layout)
        if events or channels or adjusted or changed or asked or arranged != answered.Arranged():
            wanted = (tabs.LEDGER, tabs.CHANNELS, tabs.REVIEW, tabs.ADJUSTMENTS)
            header = self.workbook.values([f"{tab}!1:1" for tab in wanted])
            ledger_header, channel_header, review_header, row_header = ((rows[0] if rows else []) for rows in header)
            requests += showing.placed(adjusted, row_header, layout.tabs[tabs.ADJUSTMENTS].id)
            last = max((int(str(row["_row"])) for row in look.review), default=1)
            requests += showing.review_requests(
                changed, arranged, last, asked, review_header, layout.tabs[tabs.REVIEW].id
            )
            if events and ledger_header:
                zone, called = showing.zone_of(layout), desk.settings.locations.by_title
                cells = [views.ledger_cells(e, zone, called) | {"Title": titles.get(e.fact.sku)} for e in events]
                requests += showing.ledger_requests(
                    cells, ledger_header, layout.tabs[tabs.LEDGER], desk.settings.limits.events_in_sheet
                )
                extra["shown"] = events[-1].id
            requests += showing.placed(channels, channel_header, layout.tabs[tabs.CHANNELS].id)
        if added:
            stock = layout.tabs[tabs.STOCK].id
            requests.append(showing.append_rows(added, look.header, facts.wanted, titles, stock))
            requests += setup.formats(
                stock, look.header, tabs.stock_columns(list(desk.titles.values()), desk.locations)
            )
            extra["added"] = list(added)
        return requests, extra

    def _unshown(self, view: View, shown: int) -> list[Event]:
        most = self.desk.settings.limits.events_in_sheet
        newest = view.events(after=shown, limit=most, newest_first=True)
        return list(reversed(newest))[:_EVENTS_AT_ONCE]

    def _channel_requests(self, look: Look, facts: _Facts, layout: Layout) -> list[tuple[int, dict[str, Cell]]]:
        """(row, cells that differ) of the Channels tab; a channel without a row gets the next free one."""
        by_title = {str(row.get("Channel")): row for row in look.channels}
        with self.desk.ledger.read() as view:
            primary = self.desk.primary(view)  # as it is now: this pass may have taken a tick
        free = max((int(str(row["_row"])) for row in look.channels), default=1)
        out: list[tuple[int, dict[str, Cell]]] = []
        for channel in facts.channels:
            wanted = views.channel_cells(channel, showing.zone_of(layout))
            row = by_title.get(channel.title)
            if row is None:
                free += 1
                named: dict[str, Cell] = {
                    "Channel": channel.title,
                    "Kind": channel.kind,
                    "Primary": channel.name == primary,
                    "Start": False,
                }
                out.append((free, named | wanted))
                continue
            if row.get("Start") is True and (facts.started or self._start_noted()):
                wanted["Start"] = False
            if (row.get("Primary") is True) != (channel.name == primary):
                wanted["Primary"] = channel.name == primary
            cells = {h: v for h, v in wanted.items() if h in row and not showing.same(row[h], v)}
            if cells:
                out.append((int(str(row["_row"])), cells))
        return out

    def _review_changes(
        self, look: Look, layout: Layout
    ) -> tuple[list[tuple[int, dict[str, Cell]]], answered.Arranged, list[tuple[dict[str, Cell], list[str]]]]:
        """(cells that differ by row, what becomes of closed questions' rows, rows to add with their answers)."""
        with self.desk.ledger.read() as view:
            open_now = {review.short_id(q): q for q in view.questions()}
            done = answered.standing(view, self.desk.clock())
        zone = showing.zone_of(layout)
        changed: list[tuple[int, dict[str, Cell]]] = []
        arranged = answered.arrange(look.review, open_now.keys(), done)
        for row in look.review:
            question, number = open_now.pop(str(row.get(tabs.ID)), None), int(str(row["_row"]))
            if question is None:
                continue
            wanted = review.cells(question, views.serial(question.asked_at, zone))
            wanted[tabs.STATUS] = self.memory.untaken.get(str(row[tabs.ID]))
            cells = {h: v for h, v in wanted.items() if h in row and not showing.same(row[h], v)}
            if cells:
                changed.append((number, cells))
        added = [
            (review.cells(q, views.serial(q.asked_at, zone)), [a.word for a in review.offered(q)])
            for q in open_now.values()
        ]
        return changed, arranged, added

    def _start_noted(self) -> bool:
        with self.desk.ledger.read() as view:
            return bool(view.get(START_WANTED))

    def _layout(self) -> Layout:
        now, memory = self.desk.clock(), self.memory
        if memory.layout is None or memory.layout_at is None or now - memory.layout_at > _LAYOUT_AGE:
            memory.layout, memory.layout_at = self.workbook.layout(), now
        return memory.layout


class _Rehearsal(_Pass):
    """A pass over one look, whose exchanges overwrite what that look saw. Without a look of its own it only looks."""

    def __init__(self, desk: Desk, workbook: Workbook, memory: Memory, seen: Look | None = None) -> None:
        super().__init__(desk, workbook, memory, None)
        self.looks_only, self.seen = seen is None, seen

    def run(self) -> Report:
        report = super().run()
        rows = self.seen.adjustments if self.seen else ()
        return replace(report, adjustments=adjusting.would_record(self.desk, rows))

    def _look(self) -> Look:
        self.seen = self.seen or super()._look()
        return self.seen

    def _heal(self) -> bool:
        return False

    def _tabs_gone(self, layout: Layout) -> bool:
        return False

    def _mend_header(self, look: Look) -> Report:
        return Report(problems=look.problems)

    def _exchange_all(self, look: Look, facts: _Facts, found: edits.Found) -> int:
        return 0 if self.looks_only else super()._exchange_all(look, facts, found)

    def _image(self, intent: Intent) -> Image:
        assert self.seen is not None
        return _image_of(self.seen, intent)


# small pieces ---------------------------------------------------------------------------------------------------


def place_of(layout: Layout, ledger: str, chain: str = exchange.CHAIN_NAME) -> Place:
    """Where exchanges happen. Raises SheetNotReady where a tab is gone."""
    for title in (tabs.STOCK, tabs.EXCHANGE, tabs.LEDGER, tabs.CHANNELS, tabs.REVIEW, tabs.ADJUSTMENTS, *_OTHERS):
        if title not in layout.tabs:
            raise SheetNotReady(f"The tab {title!r} is gone. Bring it back with `sheets-sync init`; nothing is lost.")
    return Place(layout.tabs[tabs.STOCK].id, layout.tabs[tabs.EXCHANGE].id, ledger, layout.spreadsheet_id, chain)


@dataclass(frozen=True)
class _Ticks:
    start: str = ""
    primary: frozenset[str] = frozenset()


def _ticks(look: Look, titles: Mapping[str, str]) -> _Ticks:
    """Which channel's Start is ticked, and which ones are ticked as primary."""
    names = {title: name for name, title in titles.items()}
    rows = {names[str(r.get("Channel"))]: r for r in look.channels if str(r.get("Channel")) in names}
    primary = [name for name, row in rows.items() if row.get("Primary") is True]
    start = [name for name, row in rows.items() if row.get("Start") is True]
    return _Ticks(start[0] if start else "", frozenset(primary))


def _in_cell(question: Question) -> bool:
    return question.kind in SHEET_KINDS and question.origin is Origin.CELL


def _image_of(look: Look, intent: Intent) -> Image:
    """The image that an exchange would take, were the look true."""
    names = {position: str(name) for position, name in enumerate(look.header) if name is not None}
    span = range(intent.first, intent.last)

    def cell(row: int, position: int) -> Cell:
        column = look.columns.get(names.get(position, ""))
        return column[row - 2] if column is not None and row - 2 < len(column) else None

    rows = tuple(tuple(cell(row, position) for position in span) for row in intent.image)
    return Image(intent.exchange, intent.previous, tuple(look.header[intent.first : intent.last]), rows)
