"""The whole machine: people, buyers, sellers, shops, the network, crashes, two services, and time that goes backwards.

It drives the real passes over the sheet and over two shops (`tests/whole.py`). People do to the sheet what people do,
also between any two calls; they undo edits that were recorded, and answer questions; buyers buy, sellers ship, orders
are cancelled; answers get lost, requests come late or twice, reads are torn or old; the service dies at any call and
any commit, or sleeps through one while its successor works; old versions of the workbook are restored, and the ledger
comes back from a backup. Each run draws which of these it will meet, and how this Google behaves where nobody knows.
Then all of it ends, and everything that was typed was counted once, or is asked about exactly that SKU; every shop
shows its offer; and no shop was ever raised above what the ledger and that shop's own orders allowed.

`SHEETS_SYNC_MACHINE=1000` (`make test-long`) makes that many runs with random seeds, which are printed. With
`SHEETS_SYNC_SEED=…` they are counted up from that one, so one of them again is
`SHEETS_SYNC_MACHINE=8 SHEETS_SYNC_SEED=… pytest tests/test_machine_world.py`. `SHEETS_SYNC_SHOPS=woocommerce,amazon`
takes an Amazon in place of the Shopify.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import stamina
import structlog
from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from psycopg import sql

from sheets_sync import answering, drift, edits, exchange, masses, recovery, review
from sheets_sync.channel_sync import ChannelMemory
from sheets_sync.errors import BadInput, LeaseLost, NextPass, OtherSide, SellerMustAct
from sheets_sync.ledger import schema
from sheets_sync.model import Event, Kind, Lease, Question
from sheets_sync.sandbox.sheet.server import Answer, Call, Proceed
from sheets_sync.sandbox.sheet.unknowns import Unknowns
from sheets_sync.sandbox.shops._common import ShopRefuses
from sheets_sync.sheet import tabs
from sheets_sync.sync import Memory
from tests import test_machine_sheet as sheets
from tests.in_process import folder_for
from tests.sheet_server import is_batch_update, is_read
from tests.test_machine_sheet import BEGIN, SHELF, SKUS, Died, Numbers
from tests.whole import Street, Whole, a_template, seen

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("SHEETS_SYNC_MACHINE") or 100)
SEED = os.environ.get("SHEETS_SYNC_SEED") or ("" if os.environ.get("SHEETS_SYNC_MACHINE") else "1")
EACH = 8  # runs of one seed: from the tenth on Hypothesis would rather vary what it has seen than draw a new world
SHOPS = tuple(os.environ.get("SHEETS_SYNC_SHOPS", "woocommerce,shopify").split(","))
STEPS = 100
HIGHEST = 5_000  # no figure that is typed is higher

ALWAYS = ("type",) * 8 + ("paste", "paste", "sort", "move", "insert", "name", "sum", "filter", "note") + (
    ("buy",) * 6 + ("pay", "ship", "ship", "cancel", "time")
)  # fmt: skip
HAZARDS: dict[str, tuple[str, ...]] = {
    "rows": ("delete", "back", "back"),
    "copies": ("copy", "uncopy", "uncopy"),
    "names": ("retype", "untype", "untype"),
    "columns": ("insert_column", "move_column", "rename_column", "rename_column"),
    "text": ("text", "refer"),
    "alone": ("alone", "unalone"),
    "undo": ("undo",) * 2,
    "lost": ("no_exchange", "no_range", "no_marks", "no_tag"),
    "restore": ("keep", "keep", "restore"),
    "backup": (),  # rules of its own
    "clock": ("clock",) * 4,
    "strikes": ("strike",) * 3,
    "answers": ("answer",) * 6,
    "network": (),
    "death": (),
    "sleep": (),
}
ROWS = 8  # a sheet of the machine has no more
BOUND: dict[str, tuple[int, str]] = {
    "copy": (2, "duplicate used_tag other_tag lost_cell"),
    "retype": (3, "rename vanished duplicate used_tag other_tag lost_cell"),
    "delete": (2, "vanished rename used_tag lost_cell"),
    "text": (1, "text lost_cell"),
    "refer": (3, "formula_held text lost_cell"),
    "undo": (1, "undo"),
    "alone": (ROWS, "moved_column lost_cell"),
    "note": (1, "lost_cell"),
    "columns": (2, "lost_cell moved_column other_tag text used_tag untagged stray"),
    "rename_column": (ROWS, "lost_cell vanished"),
    "late": (1, "drift"),
    "strike": (1, "below_zero"),
    "answer": (1, "duplicate"),  # a row is put back just as its owner pastes it
    "no_tag": (1, "untagged"),
    "no_exchange": (ROWS, "lost_image restored lost_cell untagged below_zero"),
    "no_range": (ROWS, "lost_image restored lost_cell untagged below_zero"),
    "no_marks": (ROWS, "lost_image restored lost_cell untagged below_zero"),
    "restore": (2 * ROWS, "restored vanished rename used_tag untagged lost_image lost_cell below_zero"),
    "backup": (2 * ROWS, "restored vanished rename used_tag untagged lost_image lost_cell below_zero drift"),
}
"""What somebody does -> how many questions one such act may cause at most, ever, and of which kinds. Nothing else that
people, buyers, the network or a dying process do may ask anything (but a note that stood too long is flagged).
"""
WRITES = ("lands",) * 5 + ("never", "late", "lost", "twice", "twice_second", "again_later", "busy")
READS = ("fresh",) * 5 + ("torn", "old")

Act = tuple[int, int, int]
acts = st.tuples(Numbers, Numbers, Numbers)
between = st.lists(st.tuples(st.integers(0, 9), acts), max_size=3)
fates = st.lists(st.integers(0, 83), max_size=4)


@dataclass
class Order:
    """What the shop's own people know of one order."""

    shop: str
    id: str
    sku: str
    units: int
    paid: bool
    open: bool = True


@dataclass
class Told:
    """What was asked in all runs, by kind, and how often somebody did what may be asked about."""

    runs: int = 0
    steps: int = 0
    passes: int = 0
    acted: Counter[str] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)  # of runs with an act that may cause the kind
    left: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    raised: int = 0

    def __str__(self) -> str:
        lines = [
            f"{self.runs} runs, {self.steps} steps, {self.passes} passes, {self.raised} raises held against law 3; "
            f"questions open at the end: {dict(self.left)}",
            f"answers: {', '.join(f'{kind} {word} {n}' for (kind, word), n in sorted(self.answers.items()))}",
            f"{'act':16}{'times':>6}{'at most each':>14}  questions in runs that had it, by kind",
        ]
        for act, (most, _) in BOUND.items():
            kinds = {kind: n for (by, kind), n in sorted(self.asked.items()) if by == act}
            lines.append(f"{act:16}{self.acted[act]:>6}{most:>14}  {', '.join(f'{k} {n}' for k, n in kinds.items())}")
        return "\n".join(lines)


class World(sheets.Sheet):
    """See the module. `truth` is what was typed; what was shipped is kept apart, as the shops tell it later."""

    street: Street
    whole: Whole
    ledgers: Any = None  # the URL of a new ledger just like the one of a URL; None: SQLite files
    told: Told
    forced: frozenset[str] = frozenset()  # hazards that every run meets, to look at one of them closely

    def __init__(self) -> None:
        super().__init__()
        self.hazards: set[str] = set()

    def new_world(self) -> Any:
        """None until `begin` has drawn what it will be like."""
        shutil.rmtree(self.folder)
        self.folder = folder_for("machine")

    @initialize(
        hazards=st.sets(st.sampled_from(sorted(HAZARDS)), max_size=7),
        unknown=st.fixed_dictionaries(
            dict.fromkeys(("refuses_missing_range", "restores_named_ranges", "names_first_refusal"), st.booleans())
        ),
        start=st.integers(0, 1000),
        drawn=st.integers(0, 2**32),
    )
    def begin(self, hazards: set[str], unknown: dict[str, bool], start: int, drawn: int) -> None:
        assume(drawn)  # Hypothesis begins with the simplest of all: a hundred times the same rule
        hazards = hazards | self.forced
        if "clock" in hazards:  # who says which of the two stands does it when all clocks are right
            hazards = hazards - {"backup"}
        self.hazards = hazards
        url = self.ledgers(self.whole.ledger_url) if self.ledgers else None
        self.quick = Whole(
            self.folder, self.street, self.meeting, self.whole, ledger_url=url, unknowns=Unknowns(**unknown),
            stumble=self._stumble,
        )  # fmt: skip
        self.kinds = ALWAYS + tuple(kind for hazard in sorted(hazards) for kind in HAZARDS[hazard])
        self.truth = dict.fromkeys(SKUS, BEGIN)
        self.fresh = (2_000 + (start + 37 * n) % 1_009 + 1_009 * (n // 1_009) for n in itertools.count())
        self.names = iter(range(1, 4))
        self.cause: set[str] = set()
        self.answered: set[str] = set()  # SKUs whose cells do not show yet what came of an answer
        self.texts: dict[Any, int] = {}
        self.notes: dict[str, str] = {}
        self.noted: dict[str, datetime] = {}
        self.before: dict[str, int] = {}
        self.bases: dict[str, set[int]] = {}  # what was typed over
        self.orders: list[Order] = []
        self.shaky = self.moved = self.late = False
        self.fooled: set[tuple[str, str]] = set()  # where a late write raised too much, until it is read back
        self.passing = ""  # whose pass is under way: the sheet's, or a shop's
        self.proven = 0
        self.waits = 0.0  # seconds after which a pass wanted to be made again
        self.busy = False  # a pass did something, or left something to do
        self.renamed: tuple[str, str] | None = None
        self.last: str | None = None
        self.strange: dict[Any, Any] = {}
        self.forgone: set[str] = set()
        self.trash: dict[str, tuple[list[Any], list[Any]]] = {}
        self.net: list[Proceed] = []
        self.answers: dict[str, list[Answer]] = {}
        self.plan: list[tuple[int, Act]] = []
        self.write, self.read = iter(()), iter(())
        self.dies_at: int | None = None
        self.sleeps_at: int | None = None
        self.calls = 0
        self.ended: Exception | None = None  # what ended the last pass
        self.versions: list[int] = []
        self.backup: tuple[str, dict[str, int]] | None = None
        self.backups = itertools.count()
        self.lawful = True  # False while the ledger is a backup that nobody has adopted yet
        self.looked: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
        self.workers, self.leases = itertools.count(), {}
        self.worker = "worker 0"
        self.acted: Counter[str] = Counter()
        self.told.runs += 1

    # what people and buyers do ----------------------------------------------------------------------------------

    def do(self, act: Act) -> None:
        kind, i, j = self.kinds[act[0] % len(self.kinds)], act[1], act[2]
        if kind in ("buy", "pay", "ship", "cancel", "time", "clock", "strike", "answer", "rename_column"):
            getattr(self, f"_{kind}")(i, j)
        elif not self.renamed:
            if self.passing and kind in ("sort", "move") and any(str(sku).startswith("X") for sku in self.rows):
                # a retyped row's own cells may go astray into whichever row comes there
                self.cause |= self.truth.keys()
            self.act(kind, i, j)

    def shipped(self, sku: str) -> int:
        return sum(o.units for o in self.orders if o.sku == sku and not o.open and o.paid)

    def calm(self) -> bool:
        """Nothing is typed that the ledger does not hold, nothing waits to be put back."""
        if self.renamed or self._overtaken():
            return False
        figures = [(self.cell_at(row, tabs.ON_HAND), self.cell_at(row, tabs.TAG_FIGURE)) for row in self.numbers()]
        with self.quick.ledger.read() as view:
            waiting = view.put_backs() or view.open_intents()
        return not waiting and all(shown == tag for shown, tag in figures)

    def _overtaken(self) -> bool:
        """Whether an exchange landed that the ledger does not know of yet: it heard a refusal, say."""
        tabs_now = {tab.title for tab in self.quick.store.book(self.quick.id).tabs}
        cells = self.quick.store.rows(self.quick.id, tabs.EXCHANGE)[:1] if tabs.EXCHANGE in tabs_now else []
        with self.quick.ledger.read() as view:
            return bool(cells and cells[0]) and cells[0][0] not in ("", view.head())

    def everything(self, hazard: str) -> None:
        """Somebody did something after which any SKU may be asked about."""
        self.acted[hazard] += 1
        self.cause |= set(self.truth) | {sku for sku in self.rows if sku} | set(self.known())

    def _may_type(self, row: int, sku: Any) -> bool:
        shown = self.cell_at(row, tabs.ON_HAND)
        if not self.alone(sku) or sku.startswith("X"):
            return False
        if sku in self.answered and shown != self.cell_at(row, tabs.TAG_FIGURE):
            return False  # who has just answered waits until the cell shows what came of it
        self.answered.discard(sku)
        if self.moved and shown != self.cell_at(row, tabs.TAG_FIGURE):
            return False  # it is not this row's figure; whoever sees that does not type a count over it
        if self.shaky and self._displaced():
            return False  # nor is that a figure to judge by, while what columns pushed aside waits to be put back
        last = self.texts.get(shown, shown)
        if type(last) is int and masses.jumps(last, HIGHEST, self.quick.desk.holds):
            return False  # H1 asks about such a jump, and with reason; other tests hold that
        return not (type(last) is not int and sku in self.truth)

    def _displaced(self) -> bool:
        with self.quick.ledger.read() as view:
            return bool(view.put_backs() or view.open_intents())

    def _typed(self, row: int, sku: str, figure: int) -> None:
        shown = self.cell_at(row, tabs.ON_HAND)
        last = self.texts.get(shown, shown)
        if self.shaky:
            self.acted["columns"] += 1
            self.cause.add(sku)
        self.strange.pop(sku, None)  # a count, whatever column was sorted before
        opened = sku in self.known() or (self._opened(row, sku) and (last == self.truth.get(sku) or self._opens(row)))
        known = sku in self.truth and type(last) is int and opened
        self.truth[sku] = self.truth[sku] + figure - last if known else figure
        if known:
            self.before[sku] = last
            self.bases.setdefault(sku, set()).add(last)

    def _opens(self, row: int) -> bool:
        """The figure that our tag names there opens this SKU, though another one may have been typed as we wrote it."""
        tag_sku, figure, id = (self.cell_at(row, name) for name in edits.TAG)
        with self.quick.ledger.read() as view:
            payload = view.intent(str(id))
        writes = exchange.load(payload).rows if payload and not self.shaky else ()
        return any(w.opens and (w.sku, w.cells.get(tabs.ON_HAND)) == (tag_sku, figure) for w in writes)

    def _another(self, sku: str) -> int:
        """A figure that is not by chance one from before an edit (S4 asks, and with reason), nor what we have, of this
        SKU or of another: two that swap theirs look like a column that was sorted alone (H4).
        """
        taken = self.bases.get(sku, set()) | set(self.known().values())
        return next(figure for figure in self.fresh if figure not in taken)

    def _type(self, row: int, sku: Any, j: int) -> None:
        if self._may_type(row, sku):
            figure = self._another(sku)
            self._typed(row, sku, figure)
            self.quick.at(row, tabs.ON_HAND, str(figure))

    def _sum(self, row: int, sku: Any, j: int) -> None:
        """A formula that refers to nothing: `=12+5` counts as 17."""
        if self._may_type(row, sku):
            figure = self._another(sku)
            self._typed(row, sku, figure)
            self.quick.at(row, tabs.ON_HAND, f"={figure - 5}+5")

    def _paste(self, row: int, sku: Any, j: int) -> None:
        """Figures of several rows, as one paste."""
        rows = [r for r in range(row, row + 2 + j % 3) if r < len(self.rows) + 2]
        if all(self._may_type(r, self.rows[r - 2]) for r in rows):
            figures = [self._another(self.rows[r - 2]) for r in rows]
            for r, figure in zip(rows, figures, strict=True):
                self._typed(r, self.rows[r - 2], figure)
            cell = f"{self.quick.letter(tabs.ON_HAND)}{row}"
            self.quick.store.type(self.quick.id, tabs.STOCK, cell, [[str(figure)] for figure in figures])

    def _undo(self, row: int, sku: Any, j: int) -> None:
        """Ctrl+Z: the figure from before the last one typed stands there again."""
        figure, shown = self.before.get(sku), self.cell_at(row, tabs.ON_HAND)
        if "copies" in self.hazards and figure == self.cell_at(row, tabs.TAG_FIGURE):
            return  # the row is a copy with an older tag, and what a tag says is ours wherever it stands
        if figure is not None and self._may_type(row, sku) and figure not in {shown, *self.known().values()}:
            self.acted["undo"] += 1
            self.cause.add(sku)
            self._typed(row, sku, figure)
            self.quick.at(row, tabs.ON_HAND, str(figure))

    def _text(self, row: int, sku: Any, j: int) -> None:
        if self._may_type(row, sku) and sku in self.known() and self.calm() and not self.moved:
            texts = len(self.texts)
            super()._text(row, sku, j)
            self.acted["text"] += len(self.texts) - texts

    def _refer(self, row: int, sku: Any, j: int) -> None:
        """S6: a formula that refers to other cells is held."""
        shown = self.cell_at(row, tabs.ON_HAND)
        ours = type(shown) is int and shown == self.cell_at(row, tabs.TAG_FIGURE)
        if self.passing and "columns" in self.hazards:
            return  # typed in a gap, into a column that moves in the same: no tool can promise that
        if self._may_type(row, sku) and sku in self.known() and ours and not self.moved:
            figure = HIGHEST + next(self.fresh)  # no count of anybody's
            if masses.jumps(shown, figure, self.quick.desk.holds):
                return  # then H1 asks first
            self.texts[figure] = shown
            self.acted["refer"] += 1
            self.cause.add(sku)
            self.quick.at(row, tabs.ON_HAND, f"=A18+{figure}")

    def _note(self, row: int, sku: Any, j: int) -> None:
        self.acted["note"] += sku is not None and self._note_waits(row, sku)
        super()._note(row, sku, j)
        self.noted |= dict.fromkeys(self.notes.keys() - self.noted.keys(), self.quick.clock.now)

    def _name(self, row: int, sku: Any, j: int) -> None:
        shown = self.cell_at(row, tabs.ON_HAND)
        super()._name(row, sku, j)
        if self.moved or (isinstance(shown, str) and shown):  # a text of ours may have been left there as columns moved
            self.cause |= {name for name in self.rows if name}

    def _delete(self, row: int, sku: Any, j: int) -> None:
        before = self.rows
        if self.calm():
            super()._delete(row, sku, j)
        self.acted["delete"] += self.rows != before

    def _copy(self, row: int, sku: Any, j: int) -> None:
        before = self.rows
        super()._copy(row, sku, j)
        self.acted["copy"] += self.rows != before

    def _retype(self, row: int, sku: Any, j: int) -> None:
        before = self.rows
        super()._retype(row, sku, j)
        self.acted["retype"] += self.rows != before

    def _filter(self, row: int, sku: Any, j: int) -> None:
        """A basic filter that hides some rows, or none any more."""
        sheet = self._sheet(tabs.STOCK)
        if j % 3 == 0:
            self.quick.store.apply(self.quick.id, [{"clearBasicFilter": {"sheetId": sheet}}], "person")
            return
        hidden = [str(sku) for sku in self.rows[j % 4 :: 3] if sku]
        specs = [{"columnIndex": self.quick.header().index(tabs.SKU), "filterCriteria": {"hiddenValues": hidden}}]
        area = {"sheetId": sheet, "startRowIndex": 0}
        made = [{"setBasicFilter": {"filter": {"range": area, "filterSpecs": specs}}}]
        self.quick.store.apply(self.quick.id, made, "person")

    def _rename_column(self, i: int, j: int) -> None:
        """A header is renamed, and later named as it was."""
        header = self.quick.header()
        if self.renamed:
            old, new = self.renamed
            self.quick.store.type(self.quick.id, tabs.STOCK, f"{sheets._letter(header.index(new))}1", old)
            self.renamed = None
        elif not self.passing or i % 2:
            self.shaky = True
            if self.passing or self._displaced():  # what goes back there finds the name gone: it is asked about
                self.everything("rename_column")
            old = (tabs.ON_HAND, SHELF, tabs.SKU, tabs.NOTE)[j % 4]
            if old in header:
                self.renamed = (old, f"{old} 2")
                self.quick.store.type(self.quick.id, tabs.STOCK, f"{sheets._letter(header.index(old))}1", f"{old} 2")

    def _alone(self, row: int, sku: Any, j: int) -> None:
        """H4: On hand sorted without its rows; whoever did it sees Status before typing on."""
        column = self.quick.header().index(tabs.ON_HAND)
        if self.passing or self.moved or not self.calm() or not all(self.alone(s) for s in self.rows if s):
            return
        figures = [self.cell_at(r, tabs.ON_HAND) for r in self.numbers()]
        if not all(sku in self.known() for sku in self.rows if sku) or not all(type(f) is int for f in figures):
            return
        order = {"dimensionIndex": column, "sortOrder": "DESCENDING" if j % 2 else "ASCENDING"}
        span = {"sheetId": self._sheet(tabs.STOCK), "startRowIndex": 1, "startColumnIndex": column}
        area = {**span, "endRowIndex": len(figures) + 1, "endColumnIndex": column + 1}
        self.quick.store.apply(self.quick.id, [{"sortRange": {"range": area, "sortSpecs": [order]}}], "person")
        self.moved = True
        self.strange = {self.rows[r - 2]: self.cell_at(r, tabs.ON_HAND) for r in self.numbers()}
        self.everything("alone")
        self.sheet([], [], [], None, None)
        self.sheet([], [], [], None, None)

    def _unalone(self, row: int, sku: Any, j: int) -> None:
        if self.moved and not self.passing:
            self.moved = False
            for r in self.numbers():
                figure, shown, sku = self.cell_at(r, tabs.TAG_FIGURE), self.cell_at(r, tabs.ON_HAND), self.rows[r - 2]
                if sku is None or figure == shown or self.strange.get(sku.removeprefix("X")) != shown:
                    continue
                if self.alone(sku) and figure != "":
                    self.quick.at(r, tabs.ON_HAND, str(figure))
                else:
                    self.moved = True

    # what people do to what is ours -----------------------------------------------------------------------------

    def _sheet(self, title: str) -> int:
        return int(self.quick.store.book(self.quick.id).tab_named(title).sheet_id)

    def _ours(self, hazard: str, requests: list[Any]) -> None:
        """Somebody tampers with what only we should touch. Where that hits an exchange, its rows are asked about."""
        self.acted[hazard] += 1
        self.acted["columns"] += self.shaky  # nobody puts right now what was written beside its column
        with self.quick.ledger.read() as view:
            busy = bool(view.open_intents() or view.put_backs())
        if self.passing or busy or not self.calm():
            self.everything(hazard)
        self.quick.store.apply(self.quick.id, requests, "person")

    def _no_exchange(self, row: int, sku: Any, j: int) -> None:
        if tabs.EXCHANGE in [tab.title for tab in self.quick.store.book(self.quick.id).tabs]:
            self._ours("no_exchange", [{"deleteSheet": {"sheetId": self._sheet(tabs.EXCHANGE)}}])

    def _no_range(self, row: int, sku: Any, j: int) -> None:
        for id in list(self.quick.store.book(self.quick.id).named):
            self._ours("no_range", [{"deleteNamedRange": {"namedRangeId": id}}])

    def _no_marks(self, row: int, sku: Any, j: int) -> None:
        if tabs.EXCHANGE in [tab.title for tab in self.quick.store.book(self.quick.id).tabs]:
            where = {"range": {"sheetId": self._sheet(tabs.EXCHANGE)}, "fields": "userEnteredValue"}
            self._ours("no_marks", [{"updateCells": where}])

    def _no_tag(self, row: int, sku: Any, j: int) -> None:
        """The hidden cells of one row are emptied: nobody can tell what was typed there since, so it is asked."""
        if not self.alone(sku) or self.cell_at(row, tabs.ON_HAND) != self.cell_at(row, tabs.TAG_FIGURE):
            return
        self.cause.add(sku)
        for header in edits.TAG:
            at = self.quick.header().index(header)
            where = {"sheetId": self._sheet(tabs.STOCK), "startRowIndex": row - 1, "endRowIndex": row}
            area = {**where, "startColumnIndex": at, "endColumnIndex": at + 1}
            self._ours("no_tag", [{"updateCells": {"range": area, "fields": "userEnteredValue"}}])

    def _keep(self, row: int, sku: Any, j: int) -> None:
        if self.calm() and not self.moved:
            self.versions.append(self.quick.store.versions(self.quick.id)[-1].number)

    def _restore(self, row: int, sku: Any, j: int) -> None:
        if not self.versions or not self.calm() or self.moved:
            return
        self.everything("restore")
        self.quick.store.restore(self.quick.id, self.versions[j % len(self.versions)])
        self.trash.clear()
        self.notes.clear()
        self.renamed = None

    # buyers, sellers, time --------------------------------------------------------------------------------------

    def _time(self, i: int, j: int) -> None:
        self.quick.clock.now += timedelta(seconds=(1, 20, 70, 700)[j % 4])

    def _clock(self, i: int, j: int) -> None:
        """The service's clock goes back by less than a minute, or is set right again."""
        self.acted["clock"] += 1
        self.quick.wrong = timedelta() if self.quick.wrong else -timedelta(seconds=(2, 20, 50)[j % 3])

    def _buy(self, i: int, j: int) -> None:
        self.quick.clock.now += timedelta(seconds=2)
        shop, sku, units, paid = list(self.quick.shops)[i % 2], SKUS[i // 2 % 4], 1 + j % 3, j % 5 != 0
        try:
            id = self.quick.hands[shop].buy(sku, units, paid=paid)
        except ShopRefuses:
            return
        self.orders.append(Order(shop, id, sku, units, paid))

    def _order(self, i: int, *, paid: bool | None = None) -> Order | None:
        found = [o for o in self.orders if o.open and (paid is None or o.paid == paid)]
        self.quick.clock.now += timedelta(seconds=2)
        return found[i % len(found)] if found else None

    def _pay(self, i: int, j: int) -> None:
        if order := self._order(i, paid=False):
            self.quick.hands[order.shop].pay(order.id)
            order.paid = True

    def _ship(self, i: int, j: int) -> None:
        if order := self._order(i, paid=True):
            self.quick.hands[order.shop].ship(order.id)
            order.open = False

    def _cancel(self, i: int, j: int) -> None:
        if order := self._order(i):
            try:
                self.quick.hands[order.shop].cancel(order.id)
            except ShopRefuses:  # on Amazon a buyer can for half an hour
                return
            self.orders.remove(order)

    # what people do in Review and with the ledger ---------------------------------------------------------------

    def _strike(self, i: int, j: int) -> None:
        """`sheets-sync undo`: an edit of late is struck, or comes back; all else that happened stays (law 2)."""
        events = [e for e in self.quick.events() if e.fact.source in ("sheet", "undo") and e.change.on_hand][-8:]
        events = [e for e in events if e.fact.kind in (Kind.ADJUSTMENT, Kind.REVERSAL) and self._enough(e)]
        if not events or not self.lawful:
            return
        struck = events[i % len(events)]
        sku, since = struck.fact.sku, self._counted_since(struck)
        changed = self._by_a_person(lambda: answering.undo(self.quick.desk, str(struck.id)))
        if changed is None:
            return
        assert changed == {sku: -struck.change.on_hand} or (since and changed.keys() <= {sku}), struck
        self.acted["strike"] += 1
        self.truth[sku] += changed.get(sku, 0)
        self._forget(sku, self.known()[sku] - changed.get(sku, 0))

    def _counted_since(self, event: Event) -> bool:
        """Then its undoing may change nothing: the count, or what was corrected against one, stays."""
        of = [e for e in self.quick.events() if e.fact.sku == event.fact.sku]
        counts = (Kind.STOCK_TAKE, Kind.OPENING)
        return any(e.fact.kind is Kind.CORRECTION or (e.id > event.id and e.fact.kind in counts) for e in of)

    def _enough(self, event: Event) -> bool:
        """Without it there is still something on the shelf, also when all is recorded that was typed."""
        sku = event.fact.sku
        known, typed = self.known().get(sku, 0), self.truth.get(sku, 0) - self.shipped(sku)
        return min(known, typed) - event.change.on_hand > BEGIN // 10

    def _answer(self, i: int, j: int) -> None:
        """A person answers one of the questions in Review, when its row is at rest."""
        if self.passing or self.renamed or self.moved or not self.lawful or self._displaced() or self._overtaken():
            return
        with self.quick.ledger.read() as view:
            questions = view.questions()
        of = Counter(q.sku for q in questions)
        may = [(q, word) for q in questions if of[q.sku] == 1 and self._may_answer(q) for word in self._words(q)]
        if not may:
            return
        question, word = may[(i + j) % len(may)]
        id, sku = review.short_id(question), question.sku
        changed = self._by_a_person(lambda: answering.answer(self.quick.desk, id, word))
        if changed is None:
            return
        self.acted["answer"] += 1
        self.told.answers[question.kind, word] += 1
        now = self.known()[sku]
        if word == "count":
            assert now == question.typed and changed.keys() <= {sku}, question
        elif word == "record it" and question.kind != "reason":
            assert changed == {sku: int(str(question.typed)) - int(str(question.tag))}, question
        else:
            assert changed.keys() <= ({sku} if word in ("undo", "add", "take over") else set()), (question, word)
        # what left before a count has been seen by it, whenever we learn of it
        self.truth[sku] = now + (self.shipped(sku) if word == "count" else self._booked(sku))
        self.answered.add(sku)
        self.texts.pop(question.typed, None)
        self.strange.pop(sku, None)
        self._forget(sku, now - changed.get(sku, 0), question.typed)

    def _words(self, question: Question) -> list[str]:
        """What this person may answer. A count is of a moment, so the service's clock is right then."""
        never = {"archive"} | ({"count"} if self.quick.wrong else set())
        return [answer.word for answer in review.offered(question) if answer.word not in never]

    def _forget(self, sku: str, *figures: Any) -> None:
        """These were figures of that SKU; nobody types one of them by chance (S4), nor takes one back by Ctrl+Z."""
        self.cause.add(sku)
        self.before.pop(sku, None)
        self.bases.setdefault(sku, set()).update(figure for figure in figures if type(figure) is int)

    def _booked(self, sku: str) -> int:
        """Of what the shops shipped, what the ledger knows of."""
        with self.quick.ledger.read() as view:
            sent = {line.order_id for name in self.quick.shops for line in view.lines(name) if line.level.sent}
        return sum(o.units for o in self.orders if o.sku == sku and not o.open and o.paid and o.id in sent)

    def _may_answer(self, question: Question) -> bool:
        """Nothing else was typed in its row meanwhile, or it has none."""
        sku = question.sku
        if sku not in self.truth or sku not in self.known():
            return False
        if question.kind == "vanished":
            return sku not in self.rows and f"X{sku}" not in self.rows
        if not self.alone(sku):
            return False
        row = self.rows.index(sku) + 2
        return self.cell_at(row, tabs.ON_HAND) in (self.cell_at(row, tabs.TAG_FIGURE), question.typed)

    def _by_a_person(self, do: Callable[[], object]) -> dict[str, int] | None:
        """What it changed of on_hand; None where it was refused. In a process that does not die with the service's."""
        passing, self.passing, before = self.passing, "", self.known()
        try:
            do()
        except BadInput:
            assert self.known() == before
            return None
        finally:
            self.passing = passing
        return {sku: n - before.get(sku, 0) for sku, n in self.known().items() if n != before.get(sku)}

    # the network ------------------------------------------------------------------------------------------------

    def meeting(self, who: str, call: Call, proceed: Proceed) -> Any:
        """Between the service and the other side: what people do at this moment, and what becomes of the call."""
        for do in [do for at, do in self.plan if at <= self.calls]:
            self.do(do)
        self.plan = [(at, do) for at, do in self.plan if at > self.calls]
        self._sleep()
        if who != "sheet":
            proceed = self._watched(who, call, proceed)
        # without compare-and-set a late write does what it likes: no rule can hold then
        late = who == "sheet" or self.quick.hands[who].compare_and_set
        self._stumble("at", lambda: self.net.append(proceed) if self._writing(who, call) and late else None)
        if self._writing(who, call):
            what = next(self.write, "lands")
            return self._sent(proceed, "lost" if what in ("late", "again_later") and not late else what)
        if who == "sheet" and is_read(call):
            return self._reads(call, proceed, next(self.read, "fresh"))
        return proceed()

    def _writing(self, who: str, call: Call) -> bool:
        return is_batch_update(call) if who == "sheet" else self.quick.hands[who].is_write(seen(call))

    def _sent(self, proceed: Proceed, what: str) -> Any:
        if what == "busy":
            return Answer(503, {}, b'{"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}')
        return self._writes(proceed, what)

    def _stumble(self, where: str, leaving: Any = lambda: None) -> None:
        """A place at which the process may die."""
        if self.dies_at is not None and self.passing and self.dies_at <= self.calls:
            self.dies_at = None
            leaving()
            raise Died
        if where == "after":
            self._sleep()
        self.calls += 1

    def _sleep(self) -> None:
        """A place at which the process may be stopped: at a call, or between two transactions."""
        if self.sleeps_at is not None and self.passing and self.sleeps_at <= self.calls:
            self.sleeps_at = None
            self._successor(self.passing)

    def _successor(self, who: str) -> None:
        """We sleep here for longer than a lease lives, and another worker takes over."""
        mine = (self.quick.desk, self.quick.workbook, self.quick.memory, self.quick.channel_memory, self.worker)
        plan, write, read, dies, looked = self.plan, self.write, self.read, self.dies_at, dict(self.looked)
        self.plan, self.write, self.read, self.dies_at = [], iter(()), iter(()), None
        self.quick.clock.now += timedelta(seconds=31)
        quick = self.quick
        quick.desk, quick.workbook, quick.memory = quick.new_desk(), quick.new_workbook(), Memory()
        quick.channel_memory = {name: ChannelMemory() for name in quick.shops}
        self.worker = f"worker {next(self.workers) + 1}"
        for name in ("sheet", who, "sheet"):
            self._guarded(name)
        quick.clock.now += timedelta(seconds=31)
        quick.desk, quick.workbook, quick.memory, quick.channel_memory, self.worker = mine
        self.plan, self.write, self.read, self.dies_at, self.looked = plan, write, read, dies, looked

    # law 3, seen from the shops ---------------------------------------------------------------------------------

    def _watched(self, shop: str, call: Call, proceed: Proceed) -> Proceed:
        hands, request = self.quick.hands[shop], seen(call)
        if hands.is_look(request):
            self.looked[shop] = (self._available(), self._unread(shop))
        if not hands.is_write(request):
            return proceed

        def write(*args: Any) -> Answer:
            before = {sku: hands.figure(sku) or 0 for sku in SKUS}
            answer = proceed(*args)
            if self.late:  # by chance the shop showed again what it was sent against
                moved = {sku for sku in SKUS if (hands.figure(sku) or 0) != before[sku]}
                self.acted["late"] += len(moved)
                self.cause |= moved
            self._lawful(shop, before, {sku: hands.figure(sku) or 0 for sku in SKUS})
            return answer

        return write  # type: ignore[return-value]

    def _available(self) -> dict[str, int]:
        with self.quick.ledger.read() as view:
            return {key.sku: balance.stock.available for key, balance in view.balances().items() if balance.counted}

    def _unread(self, shop: str) -> set[str]:
        """Orders whose units the shop had taken off by now."""
        return {o.id for o in self.orders if o.shop == shop and (o.paid or self.quick.hands[shop].takes_unpaid)}

    def _lawful(self, shop: str, before: dict[str, int], after: dict[str, int]) -> None:
        """A figure that was raised must not be above what the ledger has less what this shop sold before the look."""
        if not self.lawful:
            return
        then, taken = self.looked.get(shop, ({}, set()))
        with self.quick.ledger.read() as view:
            booked = {line.order_id for line in view.lines(shop)}
        now = self._available()
        for sku in SKUS:
            if after[sku] <= before[sku]:
                continue
            self.told.raised += 1
            unread = sum(
                o.units for o in self.orders
                if o.shop == shop and o.sku == sku and o.id in taken and o.id not in booked
            )  # fmt: skip
            allowed = max(now.get(sku, 0), then.get(sku, 0)) - unread
            if self.late and after[sku] > max(0, allowed):
                self.fooled.add((shop, sku))
                continue
            assert after[sku] <= max(0, allowed), (
                f"law 3: {shop} was raised from {before[sku]} to {after[sku]} of {sku}; the ledger has "
                f"{now.get(sku)}, and {unread} were sold there and not booked"
            )

    # the service ------------------------------------------------------------------------------------------------

    def _lease(self, name: str) -> Lease | None:
        ledger, key = self.quick.ledger, f"{name} of the machine"
        lease = ledger.acquire(key, self.worker)
        while lease is None:  # the one who held it died or sleeps: its lease runs out
            self.quick.clock.now += timedelta(seconds=31)
            lease = ledger.acquire(key, self.worker)
        return lease

    def _guarded(self, name: str) -> bool:
        """A pass, ended by whatever ends a pass; whether there is more to do."""
        self.told.passes += 1
        outer, self.passing, self.ended = self.passing, name, None
        try:
            lease = self._lease(name)
            again: bool
            if name == "sheet":
                again = self.quick.sheet_pass(lease).again
            else:
                report = self.quick.channel_pass(name, lease)
                again, self.waits = report.again, max(self.waits, report.after or 0.0)
                self.busy |= bool(report.events or report.sent or report.out_of_step)
            self.busy |= again
            return again
        except (NextPass, OtherSide, LeaseLost, SellerMustAct) as error:
            self.ended, self.busy = error, True
            return False
        finally:
            self.passing = outer

    def one_pass(
        self, name: str, people: list[tuple[int, Act]], write: list[int], read: list[int], dies: int | None,
        sleeps: int | None,
    ) -> None:  # fmt: skip
        network = "network" in self.hazards
        self.plan, self.calls = list(people), 0
        self.write = iter([WRITES[n % len(WRITES)] for n in write] if network else ())
        self.read = iter([READS[n % len(READS)] for n in read] if network else ())
        self.dies_at = dies if "death" in self.hazards else None
        self.sleeps_at = sleeps if "sleep" in self.hazards else None
        try:
            self._guarded(name)
        except Died:
            self.worker = f"worker {next(self.workers) + 1}"
            self.quick.restart()
        self.dies_at, self.sleeps_at, self.write, self.read = None, None, iter(()), iter(())
        rest, self.plan = self.plan, []
        for _, do in rest:
            self.do(do)

    def sheet(self, people: Any, write: Any, read: Any, dies: int | None, sleeps: int | None) -> None:
        self.one_pass("sheet", people, write, read, dies, sleeps)

    # the rules --------------------------------------------------------------------------------------------------

    sometimes = st.none() | st.none() | st.integers(0, 16)

    @rule(people=between, write=fates, read=fates, dies=sometimes, sleeps=st.none() | st.none() | st.integers(0, 16))
    def look(self, people: Any, write: list[int], read: list[int], dies: int | None, sleeps: int | None) -> None:
        """A pass over the sheet, with all that happens meanwhile."""
        self.told.steps += 1
        self.sheet(people, write, read, dies, sleeps)

    @rule(
        shop=st.integers(0, 1), people=between, write=fates, dies=sometimes,
        sleeps=st.none() | st.none() | st.integers(0, 16),
    )  # fmt: skip
    def shop_pass(self, shop: int, people: Any, write: list[int], dies: int | None, sleeps: int | None) -> None:
        self.told.steps += 1
        self.one_pass(list(self.quick.shops)[shop], people, write, [], dies, sleeps)

    @rule(shop=st.integers(0, 1))
    def good_shop_pass(self, shop: int) -> None:
        """Nobody does anything meanwhile: then it leaves no figure above its offer (law 3)."""
        self.told.steps += 1
        name = list(self.quick.shops)[shop]
        self.plan, self.waits = [], 0.0
        if self._guarded(name) or self.ended:
            return
        if 0 < self.waits <= 10:  # P6: the same figure is not sent again at once where the shop showed another one
            self.quick.clock.now += timedelta(seconds=self.waits)
            if self._guarded(name) or self.ended:
                return
        available = self._available()
        shown = {sku: self.quick.sku_figure(name, sku) or 0 for sku in SKUS}
        above = {sku: (n, available[sku]) for sku, n in shown.items() if n > max(0, available[sku])}
        above = {sku: told for sku, told in above.items() if (name, sku) not in self.fooled}
        assert not above or not self.lawful, f"{name} shows more than its offer: {above}"

    @rule(what=st.lists(acts, min_size=1, max_size=3))
    def people(self, what: list[Act]) -> None:
        self.told.steps += 1
        for do in what:
            self.do(do)

    @rule(what=acts)
    def person(self, what: Act) -> None:
        self.told.steps += 1
        self.do(what)

    @rule()
    def good_pass(self) -> None:
        self.told.steps += 1
        self.sheet([], [], [], None, None)
        self.shaky = self.shaky and not self.calm()

    @rule(i=Numbers)
    def arrive(self, i: int) -> None:
        """A request that was thought lost comes in."""
        self.told.steps += 1
        if self.net:
            self._comes_in(i % len(self.net))

    def _comes_in(self, number: int) -> None:
        self.late = True
        self.net.pop(number)()
        self.late = False

    @precondition(lambda self: "backup" in self.hazards)
    @rule()
    def back_up(self) -> None:
        """A copy of the ledger, as people make them at night."""
        self.told.steps += 1
        self.sheet([], [], [], None, None)  # an exchange may have landed that we believe refused
        if self.calm() and not self.moved:
            self.backup = (self._copied(), dict(self.truth))

    def _copied(self) -> str:
        if self.ledgers:
            self.quick.ledger.close()  # it connects anew; PostgreSQL copies only what nobody is connected to
            return str(self.ledgers(self.quick.ledger_url))
        copy = self.folder / f"backup-{next(self.backups)}.db"
        with sqlite3.connect(self.quick.ledger_url.removeprefix("sqlite:///")) as now, sqlite3.connect(copy) as then:
            now.backup(then)
        return f"sqlite:///{copy}"

    @precondition(lambda self: self.quick is not None and self.backup is not None)
    @rule(workbook=st.booleans(), passes=st.lists(st.integers(0, 2), max_size=3))
    def bring_back(self, workbook: bool, passes: list[int]) -> None:
        """The ledger comes back from it; nothing is taken or written until a person says which of the two stands."""
        self.told.steps += 1
        assert self.backup is not None
        self._quiet()
        if not self.calm() or self.moved or self.renamed or self.trash or not self._agree():
            return
        if any(str(sku).startswith("X") or not self.alone(sku) for sku in self.rows if sku):
            return
        self.quick.ledger.close()
        self.quick.ledger_url, truth = self.backup
        self.backup = None
        self.everything("backup")
        self.net.clear()
        self.quick.open()
        self.lawful = False
        for number in passes:
            self._guarded(("sheet", *self.quick.shops)[number])
        self._adopt(recovery.WORKBOOK if workbook else recovery.LEDGER)
        self.lawful = True
        self.versions.clear()
        self.before.clear()
        if not workbook:
            self.truth = truth
        self._quiet()

    def _adopt(self, stands: str) -> None:
        try:
            recovery.adopt(self.quick.desk, self.quick.workbook, stands)
        except BadInput:  # which of two rows of one SKU stands? a person keeps one of each
            self._keep_one_of_each()
            recovery.adopt(self.quick.desk, self.quick.workbook, stands)

    def _agree(self) -> bool:
        """Ledger and sheet say what was typed and shipped."""
        return self.known() == {sku: typed - self.shipped(sku) for sku, typed in self.truth.items()}

    # the end ----------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if self.quick is None:
            return
        self.ending = self.quick.clock.now
        try:
            self._calm_down()
            self._check()
        finally:
            self.told.acted += self.acted
            self.quick.ledger.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _quiet(self) -> None:
        """Time for everything that waits, then passes until nothing is left to do."""
        for _ in range(4):
            self.quick.clock.now += timedelta(seconds=20)
            self.busy = False
            self._guarded("sheet")
            if not self.busy and self.quick.memory.stale_since is None:
                break
        self.quick.clock.now += drift.READ_BACK
        for _ in range(14):
            self.waits, self.busy = 0.0, False
            for name in (*self.quick.shops, "sheet"):
                self._guarded(name)
            if not self.busy:
                self.fooled.clear()
                return
            self.quick.clock.now += max(timedelta(seconds=self.waits), drift.READ_BACK)  # all is read once more

    def _calm_down(self) -> None:
        while self.net:
            self._comes_in(-1)
        if self.renamed:
            self._rename_column(0, 0)
        for order in self.orders:
            if not order.paid:
                self.quick.hands[order.shop].pay(order.id)
                order.paid = True
        self.quick.store.apply(self.quick.id, [{"clearBasicFilter": {"sheetId": self._sheet(tabs.STOCK)}}], "person")
        self._put_names_right()
        self._quiet()

    def _put_names_right(self) -> None:
        for row in reversed(self.numbers()):
            sku = dict(enumerate(self.rows, 2)).get(row)
            if isinstance(sku, str) and sku.startswith("X"):
                if sku[1:] in self.rows:
                    if self.cell_at(row, tabs.ON_HAND) != self.cell_at(row, tabs.TAG_FIGURE):
                        self.forgone.add(sku[1:])  # it was asked about there, and goes unanswered with its row
                    self.quick.store.delete_rows(self.quick.id, tabs.STOCK, row)
                else:
                    self.quick.at(row, tabs.SKU, sku[1:])
        for row in reversed(self.numbers()):
            if row - 2 < len(self.rows) and self.rows[row - 2] and not self.alone(self.rows[row - 2]):
                self.quick.store.delete_rows(self.quick.id, tabs.STOCK, row)

    def _check(self) -> None:
        quick, known = self.quick, self.known()
        with quick.ledger.read() as view:
            questions = view.questions()
            balances = {key.sku: balance.stock for key, balance in view.balances().items()}
            waiting = [item for _, item in view.put_backs() if item["sku"] in self.rows]
        self.told.left += Counter(q.kind for q in questions)
        late = {q.key for q in questions if q.kind == "late_note"}  # time went by: that is cause enough
        questions = [q for q in questions if q.key not in late]
        asked = {sku for q in questions for sku in (q.sku, q.about.get("gone")) if sku}
        asked |= {sku.removeprefix("X") for sku in asked}  # asked when the row was called so; it goes unanswered
        cells = {sku: quick.cell(sku) for sku in self.rows if sku}
        truth = {sku: typed - self.shipped(sku) for sku, typed in self.truth.items()}
        wrong = {sku for sku in known.keys() | truth.keys() if known.get(sku) != truth.get(sku)} - self.forgone
        wrong |= {sku for sku, cell in cells.items() if sku in known and cell != known[sku]}
        wrong |= {sku for sku, cell in cells.items() if sku not in known and cell not in ("", None)}
        told = [(question.kind, question.sku, question.typed, question.text) for question in questions]
        state = f"ledger {known}\ntruth  {truth}\ncells  {cells}\nasked  {told}\nhazards {sorted(self.hazards)}"
        assert wrong <= asked, f"{wrong - asked} are wrong and nobody is asked\n{state}"
        assert asked <= self.cause, f"asked without cause about {asked - self.cause}\n{state}"
        assert quick.ledger.verify() == []
        assert not waiting, f"never put back: {waiting}\n{state}"
        for sku in SKUS:
            promised = sum(o.units for o in self.orders if o.sku == sku and o.open)
            assert balances[sku].committed == promised, f"{sku}: {balances[sku]}, but {promised} are promised\n{state}"
            for name in quick.shops:
                offer = max(0, balances[sku].available)
                assert quick.sku_figure(name, sku) == offer, f"{name}: {quick.sku_figure(name, sku)} of {sku}\n{state}"
        self._check_bounds(state)
        # S5: what stood too long without an edit is flagged, and goes with the next one
        self.notes = {n: s for n, s in self.notes.items() if self.ending - self.noted[n] < timedelta(minutes=10)}
        self._check_persons(questions)

    def _check_bounds(self, state: str) -> None:
        """Questions are asked for a cause, and few for each; those that went away again count, too."""
        with self.quick.ledger.read() as view:
            every = map(json.loads, view._connection.scalars(sa.select(schema.questions.c.contents)))
            # with another figure typed over what is asked about, it is the same question
            asked = Counter(kind for kind, _, _ in {(str(q["kind"]), q["sku"], q["reference"]) for q in every})
        asked.pop("late_note", None)  # time went by: that is cause enough
        may = {act: set(kinds.split()) for act, (_, kinds) in BOUND.items() if self.acted[act]}
        told = f"{dict(asked)} after {dict(self.acted)}\n{state}"
        assert asked.keys() <= set().union(*may.values()), f"asked without cause: {told}"
        assert asked.total() <= sum(BOUND[act][0] * n for act, n in self.acted.items() if act in BOUND), told
        self.told.asked += Counter(
            {(act, kind): asked[kind] for act, kinds in may.items() for kind in kinds & set(asked)}
        )


# how it is run --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    before, testing = structlog.get_config(), stamina.is_testing()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    stamina.set_testing(True, attempts=2)
    with ExitStack() as stack:
        yield Street.build(stack, SHOPS)
    stamina.set_testing(testing)
    structlog.configure(**before)


def run(machine: type[World], runs: int, share: int = 0, shares: int = 1) -> None:
    """One share of the runs; each seed is printed before its runs."""
    machine.told = Told()
    try:
        for number in range(share, -(-runs // EACH), shares):
            drawn = int(SEED) + number if SEED else secrets.randbelow(2**32)
            some = min(EACH, runs - EACH * number)
            sys.stdout.write(f"\nSHEETS_SYNC_MACHINE={some} SHEETS_SYNC_SEED={drawn}\n")
            _run(seed(drawn)(machine), some)
    finally:
        sys.stdout.write(f"\n{machine.told}\n")


def _run(machine: type[World], runs: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs, stateful_step_count=STEPS, deadline=None, print_blob=True, database=None,
            derandomize=False, suppress_health_check=list(HealthCheck), phases={Phase.generate},
        ),
    )  # fmt: skip


SHARES = 4  # tests, so that all workers have some


@pytest.mark.parametrize("share", range(SHARES))
def test_every_change_is_counted_once_or_asked_about(street: Street, share: int) -> None:
    class OnSqlite(World):
        pass

    folder = folder_for("template")
    try:
        OnSqlite.street, OnSqlite.whole = street, a_template(folder, street)
        run(OnSqlite, RUNS, share, SHARES)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_every_change_is_counted_once_or_asked_about_on_postgresql(street: Street, postgres_server: str) -> None:
    class OnPostgresql(World):
        pass

    folder, names = folder_for("template"), (f"machine_{secrets.token_hex(4)}_{n}" for n in itertools.count())
    made: list[str] = []

    def database(like: str) -> str:
        made.append(next(names))
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        template = sql.Identifier(str(sa.make_url(like).database))
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(made[-1]), template))
        return sa.make_url(postgres_server).set(database=made[-1]).render_as_string(hide_password=False)

    try:
        OnPostgresql.street = street
        OnPostgresql.whole = a_template(folder, street, database("postgresql:///template1"))
        OnPostgresql.ledgers = staticmethod(database)
        run(OnPostgresql, max(4, RUNS // 20))
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            for name in made:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        shutil.rmtree(folder, ignore_errors=True)
