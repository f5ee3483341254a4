"""A machine that misbehaves: people, buyers and the network do what they like, and no typed change is ever lost.

It drives the real pass (`sync.sheet_pass`) through gspread against the real local sheet, in one process. People type,
sort, insert, copy, delete, put back, retype SKUs and move columns, between any two calls of a pass; buyers buy; answers
get lost, requests come late, twice or never; reads are torn or old; the service dies at any call. Then all of it ends,
and everything that was typed must have been counted once, or be asked about exactly that SKU.

`SHEETS_SYNC_MACHINE=300` runs that many examples, and shrinks none. A failure prints the steps and how to repeat them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import SecretStr

from sheets_sync import onboarding
from sheets_sync.config import LedgerSettings, Settings, SheetSettings
from sheets_sync.desk import STARTED
from sheets_sync.errors import NextPass, OtherSide
from sheets_sync.ledger import Ledger
from sheets_sync.model import Kind
from sheets_sync.sandbox.sheet.server import DROPPED, Answer, Call, Proceed, create_app
from sheets_sync.sandbox.sheet.store import Store
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.sync import Memory
from tests.in_process import AppAdapter, folder_for
from tests.sheet_server import is_batch_update, is_read
from tests.test_sync_sheet import Day

pytestmark = pytest.mark.slow

ADDRESS = "http://127.0.0.1:9"  # nothing listens there, nothing is sent there
SKUS = ("S0", "S1", "S2", "S3")
BEGIN = 1000
SHELF = "Shelf"
EXAMPLES = os.environ.get("SHEETS_SYNC_MACHINE", "")


class Died(BaseException):
    """The process ends here."""


class Steps:
    """A clock that goes on by a millisecond at each look at it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class Quick(Day):
    """A world in one thread, without shops. `meet` stands between the client and the sheet."""

    def __init__(self, folder: Path, meet: Callable[[Call, Proceed], Any], template: Quick | None = None) -> None:
        self.clock: Any = Steps()
        self.numbers = iter(range(1, 100_000))
        self.folder, self.meet, self.shops = folder, meet, {}
        store = Store()
        self.app = create_app(store)
        self.sheet: Any = SimpleNamespace(store=store, base_url=ADDRESS)
        if template:
            self.book = store._add(template.store.book(template.id).copy())
            shutil.copy(template.folder / "ledger.db", folder / "ledger.db")
            self.clock.now = template.clock.now
        else:
            self.book = store.create("Stock", tabs=("Sheet1",))
        self.ledger_url = f"sqlite:///{folder}/ledger.db"
        sheet = SheetSettings(spreadsheet_id=self.id, base_url=ADDRESS)
        self.settings = Settings(folder / "config.toml", sheet, LedgerSettings(url=SecretStr(self.ledger_url)))
        self.ledger = Ledger.open(self.ledger_url, clock=self.clock)
        self.desk, self.workbook, self.memory = self.new_desk(), self.new_workbook(), Memory()
        self.channel_memory = {}

    def new_workbook(self) -> Workbook:
        workbook = super().new_workbook()
        workbook._http.session.mount(ADDRESS, AppAdapter(self.app, self.meet, ADDRESS))
        workbook._sleep = lambda _: None
        return workbook

    def close(self) -> None:
        self.ledger.close()


def a_template(folder: Path) -> Quick:
    """A workbook after Start, four SKUs at 1000, a column of the person's own."""
    quick = Quick(folder, lambda call, proceed: proceed())
    onboarding.set_up(quick.desk, quick.workbook)
    with quick.ledger.begin() as tx:
        tx.put(STARTED, quick.clock().isoformat())
    quick.store.insert_columns(quick.id, tabs.STOCK, quick.letter(tabs.COMMITTED))
    at = next(i for i, header in enumerate(quick.header()) if header == "")
    quick.store.type(quick.id, tabs.STOCK, f"{chr(65 + at)}1", SHELF)
    for sku in SKUS:
        quick.at(quick.new_row(sku, str(BEGIN)), SHELF, f"shelf of {sku}")
    quick.sheet_passes()
    quick.ledger.close()
    return quick


Numbers = st.integers(0, 1_000)
ALWAYS = ("type", "type", "sale")
SOMETIMES = (
    ("sort",), ("move",), ("insert", "name"), ("delete", "back"), ("copy", "type_copy", "uncopy"), ("retype", "untype"),
    ("swap", "type_swap"), ("text",), ("note",), ("insert_column", "move_column"), ("low", "low"),
)  # fmt: skip
Act = tuple[int, int, int]
acts_of_people = st.tuples(Numbers, Numbers, Numbers)
between_calls = st.lists(st.tuples(st.integers(0, 6), acts_of_people), max_size=3)
WRITES = ("lands",) * 6 + ("never", "late", "lost", "twice", "twice_second", "again_later")
READS = ("fresh",) * 6 + ("torn", "old")


class Sheet(RuleBasedStateMachine):
    template: Quick
    hazards = True

    def __init__(self) -> None:
        super().__init__()
        self.folder = folder_for("machine")
        self.quick = self.new_world()
        self.truth = dict.fromkeys(SKUS, BEGIN)
        self.fresh = iter(range(2_000, 100_000, 60))  # so far apart that no sales make one of another (S4)
        self.names = iter(range(1, 4))
        self.cause: set[str] = set()  # SKUs that someone did something odd to
        self.typed_as: dict[int, str] = {}  # figure -> the SKU of the row that it was typed in
        self.texts: dict[str, int] = {}  # text typed over a figure -> that figure
        self.notes: dict[str, str] = {}  # note -> the SKU of its row
        self.keeps_first = True
        self.proven = 0  # the newest event when law 2 was proven last
        self.habits: tuple[str, ...] = ALWAYS  # what these people do
        self.last: str | None = None  # the SKU in whose row somebody did something last
        self.shaky = False  # columns were moved: cells may show what was never meant for them
        self.columns_moved = False
        self.trash: dict[str, tuple[list[Any], list[Any]]] = {}  # SKU -> header and row, as it was cut last
        self.net: list[Proceed] = []
        self.answers: dict[str, list[Answer]] = {}
        self.plan: list[tuple[int, Act]] = []
        self.write, self.read, self.dies_at, self.calls = iter(()), iter(()), None, 0

    def new_world(self) -> Any:
        return Quick(self.folder, self.meet, self.template)

    # what people and buyers do ----------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Any]:
        """SKU of each row below the header, None where there is none."""
        return [sku or None for sku in self.quick.skus()[1:]]

    def known(self) -> dict[str, int]:
        with self.quick.ledger.read() as view:
            return {key.sku: balance.stock.on_hand for key, balance in view.balances().items()}

    def cell_at(self, row: int, header: str) -> Any:
        cells = self.quick.store.rows(self.quick.id, tabs.STOCK)[row - 1]
        at = self.quick.header().index(header)
        return cells[at] if at < len(cells) else ""

    def calm(self) -> bool:
        """Nothing is typed that the ledger does not hold, nothing waits to be put back."""
        figures = [(self.cell_at(row, tabs.ON_HAND), self.cell_at(row, tabs.TAG_FIGURE)) for row in self.numbers()]
        with self.quick.ledger.read() as view:
            waiting = view.put_backs() or view.open_intents()
        return not waiting and self.known() == self.truth and all(shown == tag for shown, tag in figures)

    def numbers(self) -> range:
        return range(2, len(self.rows) + 2)

    def alone(self, sku: Any) -> bool:
        return isinstance(sku, str) and self.rows.count(sku) == 1  # a figure of ours may stand there for a moment

    def do(self, act: Act) -> None:
        self.act(self.habits[act[0] % len(self.habits)], act[1], act[2])

    def act(self, kind: str, i: int, j: int) -> None:
        """Half of the time where somebody was just at work: what befalls one row is what is hard to get right."""
        rows = self.rows
        if rows and tabs.ON_HAND in self.quick.header():
            at = rows.index(self.last) if i % 2 and self.last in rows else i // 2 % len(rows)
            self.last = rows[at] or self.last
            getattr(self, f"_{kind}")(2 + at, rows[at], j)

    def _type(self, row: int, sku: Any, j: int, figure: int | None = None) -> None:
        shown = self.cell_at(row, tabs.ON_HAND)
        last = self.texts.get(shown, None) if isinstance(shown, str) else shown
        if not self.alone(sku) or sku.startswith("X") or self.misnamed(row, sku):
            return
        # the first count of a new SKU is whole, whatever stood there
        counted = sku in self.known() or (sku in self.truth and self._opened(row, sku))
        if last is None and (counted or sku in SKUS):
            return
        if isinstance(last, float):  # a time that moved columns left there is no figure to judge by
            return
        typed = next(self.fresh) if figure is None else figure
        if self.shaky:
            self.cause.add(sku)
        self.truth[sku] = self.truth[sku] + typed - last if counted and last is not None else typed
        self.typed_as[typed] = sku
        self.quick.at(row, tabs.ON_HAND, str(typed))

    def _opened(self, row: int, sku: str) -> bool:
        """An exchange has landed with its first count, whether the ledger knows by now or not."""
        return self.cell_at(row, tabs.TAG_SKU) == sku and type(self.cell_at(row, tabs.TAG_FIGURE)) is int

    def _low(self, row: int, sku: Any, j: int) -> None:
        """S2: some are shipped, and someone who does not know types that all are gone."""
        if self.alone(sku) and sku in self.known() and sku in self.truth:
            self._sale(row, sku, j)
            self.cause.add(sku)
            self._type(row, sku, j, 0)

    def _sale(self, row: int, sku: Any, j: int) -> None:
        if sku in self.known() and sku in self.truth:
            self.quick.shipped(sku, 1 + j % 3)
            self.truth[sku] -= 1 + j % 3

    def _sort(self, row: int, sku: Any, j: int) -> None:
        self.quick.sort((tabs.SKU, tabs.ON_HAND, SHELF)[j % 3], descending=bool(j % 2))

    def _move(self, row: int, sku: Any, j: int) -> None:
        before = 2 + j % len(self.rows)
        if before not in (row, row + 1):
            self.quick.store.move_rows(self.quick.id, tabs.STOCK, row, before)

    def _insert(self, row: int, sku: Any, j: int) -> None:
        if len(self.rows) < 8:
            self.quick.store.insert_rows(self.quick.id, tabs.STOCK, row)

    def _name(self, row: int, sku: Any, j: int) -> None:
        if sku is None and (number := next(self.names, None)):
            name = f"N{number}"
            self.quick.at(row, tabs.SKU, name)
            self.quick.at(row, SHELF, f"shelf of {name}")
            if set(self.known()) - set(self.rows):
                self.cause.add(name)

    def _text(self, row: int, sku: Any, j: int) -> None:
        shown = self.cell_at(row, tabs.ON_HAND)
        ours = isinstance(shown, int) and shown == self.cell_at(row, tabs.TAG_FIGURE)
        if self.alone(sku) and sku in self.truth and ours:
            text = f"{next(self.fresh)} pcs"
            self.texts[text] = shown
            self.quick.at(row, tabs.ON_HAND, text)
            self.cause.add(sku)

    def _note(self, row: int, sku: Any, j: int) -> None:
        if self.alone(sku) and sku in self.truth:
            if self._note_waits(row, sku):
                self.cause.add(sku)
            note = f"note {next(self.fresh)}"
            self.notes.pop(self.cell_at(row, tabs.NOTE), None)
            self.notes[note] = sku
            self.quick.at(row, tabs.NOTE, note)

    def _note_waits(self, row: int, sku: str) -> bool:
        """Another note was overwritten there, or waits to go or to go back: two people's words for one cell."""
        with self.quick.ledger.read() as view:
            if any(item["sku"] == sku and item["column"] == tabs.NOTE for _, item in view.put_backs()):
                return True
        shown = self.cell_at(row, tabs.NOTE)
        before = {note for note, owner in self.notes.items() if owner == sku and note != shown}
        return bool(before and before - {event.fact.note for event in self.quick.events()})

    def _delete(self, row: int, sku: Any, j: int) -> None:
        if self.alone(sku) and sku in self.truth and sku in self.known() and len(self.rows) > 3:
            cells = list(self.quick.store.rows(self.quick.id, tabs.STOCK)[row - 1])
            self.trash[sku] = (self.quick.header(), cells)
            self.quick.store.delete_rows(self.quick.id, tabs.STOCK, row)
            self.cause |= {sku} | {name for name in self.rows if name and name not in self.known()}
            self.notes = {note: owner for note, owner in self.notes.items() if owner != sku}

    def _back(self, row: int, sku: Any, j: int) -> None:
        """What was cut, pasted, perhaps not for the first time: with its hidden cells, each below its header still."""
        if not self.trash:
            return
        header, cells = list(self.trash.values())[j % len(self.trash)]
        if header != self.quick.header():
            return
        name = cells[header.index(tabs.SKU)]
        if name in self.rows or f"X{name}" in self.rows:  # its row stands, perhaps under a wrong name
            return
        self.quick.store.insert_rows(self.quick.id, tabs.STOCK, row)
        self.quick.store.type(self.quick.id, tabs.STOCK, f"A{row}", [[str(cell) for cell in cells]])

    def _copy(self, row: int, sku: Any, j: int) -> None:
        if self.alone(sku) and len(self.rows) < 8 and self.cell_at(row, SHELF):  # not one that is half wiped just now
            self.quick.copy(sku)
            self.cause.add(sku)
            self.notes = {note: owner for note, owner in self.notes.items() if owner != sku}

    def _type_copy(self, row: int, sku: Any, j: int) -> None:
        self._type(row, sku, j)
        self._copy(row, sku, j)

    def _uncopy(self, row: int, sku: Any, j: int) -> None:
        if sku is not None and not self.alone(sku):
            self.quick.store.delete_rows(self.quick.id, tabs.STOCK, row)

    def _retype(self, row: int, sku: Any, j: int) -> None:
        if self.alone(sku) and sku.startswith("S") and f"X{sku}" not in self.rows:
            self.quick.at(row, tabs.SKU, f"X{sku}")
            self.cause |= {sku, f"X{sku}"} | {name for name in self.rows if name and name not in self.known()}

    def _swap(self, row: int, sku: Any, j: int) -> None:
        """The SKUs of two rows are typed the wrong way round."""
        other = 2 + j % len(self.rows)
        name = self.rows[other - 2]
        if self.alone(sku) and self.alone(name) and sku != name and {sku, name} <= self.truth.keys():
            if self._claimed(row, name) or self._claimed(other, sku):
                return
            self.quick.at(row, tabs.SKU, name)
            self.quick.at(other, tabs.SKU, sku)
            self.cause |= {sku, name}

    def _claimed(self, row: int, name: str) -> bool:
        """Called so again, as its tag says, the row would say of another SKU's figure that it is this one's."""
        typed = self.typed_as.get(self.cell_at(row, tabs.ON_HAND), name)
        return bool(typed != name and self.cell_at(row, tabs.TAG_SKU) == name)

    def _type_swap(self, row: int, sku: Any, j: int) -> None:
        self._type(row, sku, j)
        self._swap(row, sku, j)

    def _untype(self, row: int, sku: Any, j: int) -> None:
        if self.alone(sku) and sku.startswith("X") and sku[1:] not in self.rows:
            self.quick.at(row, tabs.SKU, sku[1:])

    def misnamed(self, row: int, sku: Any) -> str | None:
        """What the row should be called, where someone called it otherwise."""
        shelf = str(self.cell_at(row, SHELF))
        name = shelf.removeprefix("shelf of ")
        return name if shelf.startswith("shelf of ") and name != sku else None

    def _insert_column(self, row: int, sku: Any, j: int) -> None:
        header = self.quick.header()
        self.shaky = True
        if len(header) < 20:
            self.columns_moved = True
            self.quick.store.insert_columns(self.quick.id, tabs.STOCK, _letter(j % len(header)))

    def _move_column(self, row: int, sku: Any, j: int) -> None:
        header = self.quick.header()
        source, before = row % len(header), j % len(header)
        self.shaky = True
        if before not in (source, source + 1):
            self.columns_moved = True
            self.quick.store.move_columns(self.quick.id, tabs.STOCK, _letter(source), _letter(before))

    # the network ------------------------------------------------------------------------------------------------

    def meet(self, call: Call, proceed: Proceed) -> Any:
        """Between client and sheet: what people do at this moment, and what becomes of the call."""
        self._people()
        if self.dies_at == self.calls:
            if is_batch_update(call):
                self.net.append(proceed)
            raise Died
        if is_batch_update(call):
            answer = self._writes(proceed, next(self.write, "lands"))
        elif is_read(call):
            answer = self._reads(call, proceed, next(self.read, "fresh"))
        else:
            answer = proceed()
        if self.dies_at == self.calls + 0.5:
            raise Died
        self.calls += 1
        return answer

    def _people(self) -> None:
        now = [do for at, do in self.plan if at <= self.calls]
        self.plan = [(at, do) for at, do in self.plan if at > self.calls]
        for do in now:
            self.do(do)

    def _writes(self, proceed: Proceed, what: str) -> Any:
        if what == "never":
            return DROPPED
        if what == "late":
            self.net.append(proceed)
            return DROPPED
        answer = proceed()
        if what == "lost":
            return DROPPED
        if what == "again_later":
            self.net.append(proceed)
        if what in ("twice", "twice_second"):
            second = proceed()
            return second if what == "twice_second" else answer
        return answer

    def _reads(self, call: Call, proceed: Proceed, what: str) -> Any:
        kept = self.answers.setdefault(call.query, [])
        answer = proceed()
        if what == "old" and kept:
            return kept[0]
        if what == "torn" and kept and "batchGet" in call.path:
            return _torn(kept[-1], answer)
        self.answers[call.query] = [*kept, answer][-3:]
        return answer

    # the service ------------------------------------------------------------------------------------------------

    @rule(
        people=between_calls, write=st.lists(st.sampled_from(WRITES), max_size=3),
        read=st.lists(st.sampled_from(READS), max_size=5),
        dies=st.none() | st.none() | st.integers(0, 12).map(lambda n: n / 2),
    )  # fmt: skip
    def look(self, people: list[tuple[int, Act]], write: list[str], read: list[str], dies: float | None) -> None:
        """One pass, with all that happens meanwhile."""
        self.plan, self.write, self.read = list(people), iter(write), iter(read)
        self.dies_at, self.calls = dies, 0
        try:
            self.quick.sheet_pass()
        except (NextPass, OtherSide):
            pass
        except Died:
            self.quick.restart()
        self.dies_at, self.write, self.read = None, iter(()), iter(())
        for _, do in self.plan:
            self.do(do)
        self.plan = []

    @rule(acts=st.lists(acts_of_people, min_size=1, max_size=3))
    def people(self, acts: list[Act]) -> None:
        for do in acts:
            self.do(do)

    @rule()
    def good_pass(self) -> None:
        self.look([], [], [], None)
        self.shaky = self.shaky and not self.calm()

    @rule(i=Numbers)
    def arrive(self, i: int) -> None:
        """A request that was thought lost comes in."""
        if self.net:
            self.net.pop(i % len(self.net))()

    @invariant()
    def law_2(self) -> None:
        """It holds in every state that the ledger comes to."""
        with self.quick.ledger.read() as view:
            last = view.last_event_id()
        if last != self.proven:
            self.proven = last
            assert self.quick.ledger.verify() == []

    @initialize(first=st.booleans(), some=st.sets(st.sampled_from(SOMETIMES), max_size=5))
    def people_are_like_this(self, first: bool, some: set[tuple[str, ...]]) -> None:
        """Few habits at a time, so that what they do meets."""
        self.keeps_first, self.habits = first, (*ALWAYS, *sum(sorted(some), ()))

    # the end ----------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self._calm_down()
            self._check()
        finally:
            self.quick.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _calm_down(self) -> None:
        while self.net:
            self.net.pop()()
        names = {row: self.misnamed(row, sku) for row, sku in enumerate(self.rows, 2)}
        for row, name in names.items():
            if name and self.rows[row - 2]:
                self.quick.at(row, tabs.SKU, name)
        self._keep_one_of_each()
        self.quick.sheet_passes(20)

    def _keep_one_of_each(self) -> None:
        rows = list(enumerate(self.rows, 2))
        stays = dict((sku, row) for row, sku in (rows[::-1] if self.keeps_first else rows))
        gone = [row for row, sku in rows if stays[sku] != row]
        for row in sorted((row for row in gone if self.rows[row - 2]), reverse=True):
            self.quick.store.delete_rows(self.quick.id, tabs.STOCK, row)

    def _check(self) -> None:
        quick, known = self.quick, self.known()
        with quick.ledger.read() as view:
            questions = view.questions()
        asked = {sku for q in questions for sku in (q.sku, q.about.get("gone")) if sku is not None}
        cells = {sku: quick.cell(sku) for sku in self.rows if sku}
        wrong = {sku for sku in known.keys() | self.truth.keys() if known.get(sku) != self.truth.get(sku)}
        wrong |= {sku for sku, cell in cells.items() if sku in known and cell != known[sku]}
        wrong |= {sku for sku, cell in cells.items() if sku not in known and cell not in ("", None)}
        told = [(question.kind, question.sku, question.typed, question.text) for question in questions]
        state = f"ledger {known}\ntruth  {self.truth}\ncells  {cells}\nasked  {told}"
        assert wrong <= asked, f"{wrong - asked} are wrong and nobody is asked\n{state}"
        if self.columns_moved:  # a row whose SKU cell was elsewhere has no name that we could tell
            self.cause.add("")
        assert asked <= self.cause, f"asked without cause about {asked - self.cause}\n{state}"
        assert quick.ledger.verify() == []
        self._check_holds()
        with quick.ledger.read() as view:
            waiting = [item for _, item in view.put_backs() if item["sku"] in self.rows]
        assert not waiting, f"never put back: {waiting}\n{state}"
        self._check_persons(questions)

    def _check_holds(self) -> None:
        """S2: nobody answers here, so what was typed has taken nothing below zero."""
        for event in self.quick.events():
            below = event.fact.kind is Kind.ADJUSTMENT and event.change.on_hand < 0 and event.balance.on_hand < 0
            assert not below or event.fact.source != "sheet", f"below zero, and nobody was asked: {event}"

    def _check_persons(self, questions: list[Any]) -> None:
        """What people wrote for themselves stands as they wrote it, and notes went with their edits."""
        for sku in self.rows:
            if sku and sku not in self.cause:
                assert self.quick.cell(sku, SHELF) == f"shelf of {sku}", sku
        taken = {(event.fact.sku, event.fact.note) for event in self.quick.events()}
        for note, sku in self.notes.items():
            if sku not in self.cause:
                assert (sku, note) in taken or self.quick.cell(sku, tabs.NOTE) == note, f"{note} of {sku} is gone"


def _torn(older: Answer, newer: Answer) -> Answer:
    """The first ranges as they were, the others as they are."""
    first, last = json.loads(older.body), json.loads(newer.body)
    ranges = first.get("valueRanges", []), last.get("valueRanges", [])
    if len(ranges[0]) != len(ranges[1]):
        return newer
    half = len(ranges[0]) // 2 + 1
    last["valueRanges"] = ranges[0][:half] + ranges[1][half:]
    return Answer(newer.status, newer.headers, json.dumps(last).encode())


def _letter(column: int) -> str:
    return chr(65 + column)


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    Sheet.template = a_template(tmp_path_factory.mktemp("template"))
    yield
    structlog.configure(**before)


def test_no_typed_change_is_ever_lost() -> None:
    run_state_machine_as_test(
        Sheet,
        settings=settings(
            max_examples=int(EXAMPLES or 60), stateful_step_count=25, deadline=None, print_blob=True,
            derandomize=not EXAMPLES,
            suppress_health_check=list(HealthCheck), phases=set(Phase) - ({Phase.shrink} if EXAMPLES else set()),
        ),
    )  # fmt: skip
