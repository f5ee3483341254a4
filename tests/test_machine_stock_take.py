"""A machine that counts: a shelf with real units, a ledger that learns of sales late, and someone who counts truly.

The shelf is the truth. People count it at some moment and write down when, paste rows in any order, post, post again,
clear, sort and undo; sales go on and are learned of late; reads are old or torn, answers get lost, the service dies.
In the end, when everything is learned: what was counted, posted and not undone is right to the unit; what was not is as
far off as it ever was; and nothing was recorded that nobody posted.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sheets_sync import answering, review
from sheets_sync.desk import STARTED
from sheets_sync.errors import BadInput, NextPass
from sheets_sync.model import Fact, Kind, Stock, StockKey
from sheets_sync.onboarding import set_up
from sheets_sync.sandbox.sheet.server import DROPPED, Answer, Call, Proceed
from sheets_sync.sheet import tabs
from sheets_sync.sync import Memory
from tests.test_machine_sheet import Quick, _torn

SKUS = ("00123", "1E5", "MAR1", "1-2", "A")
SHELF = (10, 20, 5, 7, 12)
WRONG = (0, 2, -1, 0, 3)
"""How far the ledger is off at the beginning."""

EXAMPLES = os.environ.get("SHEETS_SYNC_EXAMPLES")
FATES = ("well",) * 5 + ("old", "torn", "lost", "never")


def a_template(folder: Path) -> Quick:
    quick = Quick(folder, lambda call, proceed: proceed())
    set_up(quick.desk, quick.workbook)
    with quick.ledger.begin() as tx:
        at = quick.clock()
        tx.put(STARTED, at.isoformat())
        tx.append(
            Fact(f"o{sku}", sku, Kind.OPENING, at, count=n + off)
            for sku, n, off in zip(SKUS, SHELF, WRONG, strict=True)
        )
    quick.sheet_passes()
    quick.ledger.close()
    return quick


class Counting(RuleBasedStateMachine):
    template: Quick

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.fates: list[str] = []
        self.kept: list[tuple[str, Answer]] = []
        self.quick = Quick(self.folder, self.meet, self.template)
        self.shelf = dict(zip(SKUS, SHELF, strict=True))
        self.off = dict(zip(SKUS, WRONG, strict=True))
        self.unknown: list[Fact] = []
        self.rows: list[tuple[str, str, str]] = []  # what stands in the tab
        self.standing: dict[str, set[str]] = {}  # batch -> the SKUs that it counted, while it is not undone
        self.sales = 0
        self.quick.clock.now += timedelta(days=5, seconds=30)

    # the network ------------------------------------------------------------------------------------------------

    def meet(self, call: Call, proceed: Proceed) -> Any:
        fate = self.fates.pop(0) if self.fates else "well"
        if call.method == "POST":
            if fate == "never":
                return DROPPED
            answer = proceed()
            return DROPPED if fate == "lost" else answer
        answer = proceed()
        if "batchGet" not in call.path or not isinstance(answer, Answer):
            return answer
        older = [kept for query, kept in self.kept if query == call.query]
        self.kept = [*self.kept, (call.query, answer)][-6:]
        if older and fate == "old":
            return older[-1]
        return _torn(older[-1], answer) if older and fate == "torn" else answer

    def passes(self, times: int) -> None:
        for _ in range(times):
            self.quick.clock.now += timedelta(seconds=5)
            try:
                self.quick.sheet_pass()
            except NextPass:
                continue

    # the shop ---------------------------------------------------------------------------------------------------

    @rule(i=st.integers(0, 4), units=st.integers(1, 3), known=st.booleans())
    def sell(self, i: int, units: int, known: bool) -> None:
        sku = SKUS[i]
        self.quick.clock.now += timedelta(minutes=1)
        if self.shelf[sku] < units:
            return
        self.sales += 1
        self.shelf[sku] -= units
        self.unknown.append(
            Fact(f"s{self.sales}", sku, Kind.SHIPMENT, self.quick.clock(), Stock(on_hand=-units), source="shop")
        )
        if known:
            self.learn()

    @rule()
    def learn(self) -> None:
        with self.quick.ledger.begin() as tx:
            tx.append(self.unknown)
        self.unknown = []

    # people -----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.quick.book.spreadsheet_id

    def put(self, cell: str, text: str) -> None:
        self.quick.store.type(self.id, tabs.STOCK_TAKE, cell, text)

    def write(self) -> None:
        for number, cells in enumerate([*self.rows, *[("", "", "")] * 12][:12], start=5):
            for letter, cell in zip("ABC", cells, strict=True):
                self.put(f"{letter}{number}", cell)

    @initialize(
        which=st.sets(st.integers(0, 4), min_size=1), bad=st.booleans(), full=st.booleans(), looks=st.just(5),
        fates=st.lists(st.sampled_from(FATES), min_size=6, max_size=12),
    )  # fmt: skip
    def first(self, which: set[int], bad: bool, full: bool, looks: int, fates: list[str]) -> None:
        self.count(which, bad, full, looks, fates)

    @rule(
        which=st.sets(st.integers(0, 4), min_size=1), bad=st.booleans(), full=st.booleans(), looks=st.integers(0, 5),
        fates=st.lists(st.sampled_from(FATES), max_size=12),
    )  # fmt: skip
    def count(self, which: set[int], bad: bool, full: bool, looks: int, fates: list[str]) -> None:
        """A new stock-take: truly counted, the time written down; perhaps with rows that mean nothing, and posted."""
        self.clear()
        self.quick.clock.now += timedelta(minutes=1)
        now = self.quick.clock()
        at = f"{now:%Y-%m-%d %H:%M:%S}"
        self.rows = [(SKUS[i], str(self.shelf[SKUS[i]]), at) for i in sorted(which)]
        if bad:
            self.rows += [("NOPE", "3", at), (SKUS[min(set(range(5)) - which, default=0)], "1o", at)]
            if len(which) == 5:
                self.rows.pop()
        self.put("B2", "Full" if full else "")
        right = self.rows
        self.rows = [(sku, str(int(figure) + 1) if figure.isdigit() else figure, at) for sku, figure, _ in right]
        self.write()  # a slip, put right after it was looked at
        self.passes(2)
        self.rows = right
        self.write()
        if looks:
            self.tick()
            self.look(looks, fates)

    def clear(self) -> None:
        """People see that it is posted, or have given it up; then the rows are cleared, and the tab says Ready."""
        self.rows, self.fates = [], []
        self.put("A2", "FALSE")
        for number in range(5, 30):
            for letter in "ABC":
                self.put(f"{letter}{number}", "")
        self.passes(4)

    @rule(i=st.integers(0, 4), units=st.integers(1, 3))
    def find(self, i: int, units: int) -> None:
        """Units turn up, and are typed over On hand, also between a count and its posting."""
        sku = SKUS[i]
        before = self.on_hand(sku)
        self.quick.clock.now += timedelta(minutes=1)
        self.quick.at(self.quick.row(sku), tabs.ON_HAND, str(before + units))
        self.passes(3)
        self.note_posted()
        if (more := self.on_hand(sku) - before) == units:
            self.shelf[sku] += units
        else:  # it is asked about, or the count was posted meanwhile: what was typed is taken back
            assert more == 0 or sku in {one for skus in self.standing.values() for one in skus}
            self.quick.at(self.quick.row(sku), tabs.ON_HAND, str(self.on_hand(sku)))
            self.passes(3)

    def on_hand(self, sku: str) -> int:
        with self.quick.ledger.read() as view:
            return view.balances()[StockKey(sku)].stock.on_hand

    @rule()
    def shift(self) -> None:
        """All is counted, and pasted a row too low: asked about, or undone."""
        self.clear()
        self.learn()
        at = f"{self.quick.clock():%Y-%m-%d %H:%M:%S}"
        self.rows = [(sku, str(self.shelf[SKUS[n - 1]]), at) for n, sku in enumerate(SKUS)]
        self.write()
        self.tick()
        self.passes(5)
        with self.quick.ledger.read() as view:
            asked = [q for q in view.questions() if q.kind == "stock_take"]
        for question in asked:
            answering.answer(self.quick.desk, review.short_id(question), "leave it")
        self.note_posted()
        if not asked:
            self.undo()
        self.clear()

    @precondition(lambda self: self.rows)
    @rule(seed=st.integers(0, 9))
    def sort(self, seed: int) -> None:
        random.Random(seed).shuffle(self.rows)
        self.write()

    @precondition(lambda self: self.rows)
    @rule()
    def tick(self) -> None:
        self.put("A2", "TRUE")

    @precondition(lambda self: self.standing)
    @rule()
    def undo(self) -> None:
        self.note_posted()
        name = sorted(self.standing)[-1]
        answering.undo(self.quick.desk, name)
        del self.standing[name]

    @rule(times=st.integers(1, 5), fates=st.lists(st.sampled_from(FATES), max_size=12))
    def look(self, times: int, fates: list[str]) -> None:
        self.fates = fates
        self.passes(times)
        self.fates = []
        self.note_posted()

    @rule(calls=st.integers(1, 9))
    def die(self, calls: int) -> None:
        """The process ends at some call; another one goes on."""

        class Dead(Exception):
            pass

        left = [calls]

        def meet(call: Call, proceed: Proceed) -> Any:
            left[0] -= 1
            if left[0] <= 0:
                raise Dead
            return self.meet(call, proceed)

        self.quick.meet = meet
        self.quick.workbook = self.quick.new_workbook()
        try:
            self.passes(2)
        except Dead:
            pass
        self.quick.meet, self.quick.memory = self.meet, Memory()
        self.quick.workbook = self.quick.new_workbook()
        self.note_posted()

    def note_posted(self) -> None:
        """Each batch once, with just what stood there."""
        counted: dict[str, set[str]] = {}
        struck: set[str] = set()
        for event in self.quick.events():
            if event.fact.kind is Kind.STOCK_TAKE:
                assert event.fact.sku not in counted.setdefault(event.fact.batch, set()), "posted twice"
                counted[event.fact.batch].add(event.fact.sku)
            if event.fact.strikes:
                struck.add(event.fact.strikes.split(":")[1])
        for name, skus in counted.items():
            if name not in struck and name not in self.standing:
                assert skus == {sku for sku, figure, _ in self.rows if figure.isdigit() and sku in SKUS}
                self.standing[name] = skus

    @invariant()
    def the_ledger_holds(self) -> None:
        with self.quick.ledger.read() as view:
            asked = [q for q in view.questions() if q.kind == "stock_take"]
        for question in asked:
            try:
                answering.answer(self.quick.desk, review.short_id(question), "post it")
            except BadInput:
                continue

    def teardown(self) -> None:
        try:
            self.learn()
            self.passes(6)
            self.note_posted()
            counted = {sku for skus in self.standing.values() for sku in skus}
            with self.quick.ledger.read() as view:
                balances = view.balances()
            for sku in SKUS:
                wrong = 0 if sku in counted else self.off[sku]
                assert balances[StockKey(sku)].stock.on_hand == self.shelf[sku] + wrong, sku
            assert self.quick.ledger.verify() == []
            if self.rows and self.quick.store.cell(self.id, tabs.STOCK_TAKE, "A2") is True:
                raise AssertionError(f"Post stays ticked: {self.quick.store.rows(self.id, tabs.STOCK_TAKE)[1:3]}")
        finally:
            self.quick.close()
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    Counting.template = a_template(tmp_path_factory.mktemp("template"))
    yield
    structlog.configure(**before)


def test_what_was_counted_is_right_to_the_unit() -> None:
    run_state_machine_as_test(
        Counting,
        settings=settings(
            max_examples=int(EXAMPLES or 8), stateful_step_count=10, deadline=None, print_blob=True,
            derandomize=not EXAMPLES,
            suppress_health_check=list(HealthCheck), phases=set(Phase) - ({Phase.shrink} if EXAMPLES else set()),
        ),
    )  # fmt: skip
