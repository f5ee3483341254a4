"""What a ledger promises, on every database: one suite, inherited by each (STYLE.md 23, 24)."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from sheets_sync import stock
from sheets_sync.errors import (
    AlreadyReversed,
    BadInput,
    ConfigError,
    KeyConflict,
    LeaseLost,
    SheetsSyncError,
    Unavailable,
)
from sheets_sync.ledger import Ledger, Tx
from sheets_sync.ledger import engine as engine_module
from sheets_sync.ledger.engine import Database
from sheets_sync.model import (
    MAIN,
    Balance,
    Event,
    Fact,
    Kind,
    LineState,
    Listing,
    OrderLine,
    OrderState,
    Origin,
    Question,
    Ref,
    Shipment,
    Stock,
    StockKey,
    StoredDelivery,
)
from tests.test_stock import histories

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
AWKWARD = ["00123", "1E5", "MAR1", "1-2", "Mütze, blau", "=IMPORTXML(1)", "日本", "a'b\"c", "%s", "null"]


def at(hours: float) -> datetime:
    return NINE + timedelta(hours=hours)


TEN, EVENING = at(1), at(10)


def opening(sku: str, n: int, *, key: str = "", when: datetime = NINE) -> Fact:
    return Fact(key or f"open:{sku}", sku, Kind.OPENING, when, count=n)


def move(key: str, sku: str, change: Stock, when: datetime = TEN, **more: str) -> Fact:
    kind = Kind(more.pop("kind", "adjustment"))
    return Fact(key, sku, kind, when, change, **more)  # type: ignore[arg-type]


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, now: datetime = EVENING) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Boom(Exception):
    """A process that dies in the middle."""


def together(n: int, work: Callable[[int], object]) -> list[object]:
    """n threads that start at the same moment; gives what each returned or raised."""
    gate = threading.Barrier(n)

    def one(i: int) -> object:
        gate.wait(timeout=30)
        try:
            return work(i)
        except SheetsSyncError as problem:
            return problem

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


class LedgerContract:
    """Inherit it and give `url`: an empty database."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def ledger(self, url: str, clock: Clock) -> Iterator[Ledger]:
        ledger = Ledger.open(url, clock=clock)
        yield ledger
        assert ledger.verify() == []
        ledger.close()

    def test_a_copy_is_the_same_ledger_and_goes_its_own_way(self, ledger: Ledger, tmp_path: Path) -> None:
        with ledger.begin() as tx:
            tx.append([opening("00123", 10), move("m", "00123", Stock(-2), batch="b")])
            tx.put("name", {"of": "state"})
            tx.ask([Question("q", "text", "00123", "what?", asked_at=TEN)])
        copy = ledger.copy_to(tmp_path / "copy.db")
        with copy.begin() as tx, ledger.read() as view:
            assert tx.events() == view.events() and tx.balances() == view.balances()
            assert (tx.get("name"), tx.questions()) == (view.get("name"), view.questions())
            tx.append([move("later", "00123", Stock(-1))])
        assert (copy.id, copy.verify()) == (ledger.id, [])
        copy.close()
        with ledger.read() as view:
            assert view.last_event_id() == 2

    def test_what_moved_since_is_told_and_all_that_was_struck(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            tx.append([opening("A", 10), opening("B", 5), opening("C", 1), move("early", "A", Stock(-2, 1))])
            tx.append([move("late", "A", Stock(-1), at(2)), move("elsewhere", "A", Stock(4), at(3), location="b")])
            tx.append(
                [Fact("struck", "B", Kind.REVERSAL, at(-5), strikes="open:B"), move("other", "C", Stock(9), at(9))]
            )
        with ledger.read() as view:
            moves = list(view.moves({"A": TEN, "B": at(9)}, MAIN))
        assert [tuple(found) for found in moves] == [
            ("A", "adjustment", at(2), -1, 0, None, None), ("B", "reversal", at(-5), -5, 0, None, "open:B"),
        ]  # fmt: skip

    # facts ------------------------------------------------------------------------------------------------------

    def test_a_fact_becomes_an_event_that_explains_itself(self, ledger: Ledger, clock: Clock) -> None:
        fact = move("m", "00123", Stock(-2, 1, 3), actor="Ana", reason="damage", note="wet", batch="b", source="sheet")
        with ledger.begin() as tx:
            (opened,) = tx.append([opening("00123", 10)])
            (event,) = tx.append([fact])
        assert (opened.id, opened.seq, opened.change, opened.balance) == (1, 1, Stock(10), Stock(10))
        assert event == Event(2, 2, fact, Stock(-2, 1, 3), Stock(8, 1, 3), clock.now)
        with ledger.read() as view:
            assert view.events() == [opened, event] == list(view.iter_events())
            key = StockKey("00123")
            assert view.balances() == {key: Balance(key, Stock(8, 1, 3), 2, True, at(1), NINE, 2)}

    def test_C1_a_fact_learned_after_a_count_is_corrected_in_the_same_transaction(self, ledger: Ledger) -> None:
        count = Fact("count", "A", Kind.STOCK_TAKE, at(2), count=7)
        with ledger.begin() as tx:
            tx.append([opening("A", 12), count])
            shipment, correction = tx.append([move("ship", "A", Stock(-2), kind="shipment")])
            undo, restored = tx.append([Fact("undo", "A", Kind.REVERSAL, at(3), strikes="count")])
        assert (shipment.change.on_hand, correction.change.on_hand, correction.balance.on_hand) == (-2, 2, 7)
        assert (correction.fact.kind, correction.corrects, correction.is_fact) == (Kind.CORRECTION, "count", False)
        assert (undo.change.on_hand, undo.fact.strikes, restored.balance.on_hand) == (5, "count", 10)
        with ledger.read() as view:
            assert view.events(sku="A")[2:] == [shipment, correction, undo, restored]

    def test_facts_of_one_batch_see_each_other(self, ledger: Ledger) -> None:
        """The second of them is late only because of the first."""
        late = move("late", "A", Stock(-2))
        with ledger.begin() as tx:
            tx.append([opening("A", 12)])
            events = tx.append([Fact("c", "A", Kind.STOCK_TAKE, at(2), count=7), late])
            tx.append(
                [Fact("u", "A", Kind.REVERSAL, at(3), strikes="c"), Fact("v", "A", Kind.REVERSAL, at(4), strikes="u")]
            )
            assert tx.balances()[StockKey("A")].stock == Stock(7)
        assert [e.fact.key for e in events] == ["c", "late", "correction:late"]

    def test_the_same_fact_again_is_success_and_appends_nothing(self, ledger: Ledger) -> None:
        facts = [opening("A", 10), move("m", "A", Stock(-2)), Fact("u", "A", Kind.REVERSAL, at(2), strikes="m")]
        with ledger.begin() as tx:
            stored = [event.fact for event in tx.append(facts)]
        for again in (facts, stored, facts * 2, [replace(facts[1], occurred_at=at(1).astimezone())]):
            with ledger.begin() as tx:
                assert tx.append(again) == []
        with ledger.begin() as tx:
            assert [e.fact.key for e in tx.append([facts[1], move("n", "A", Stock(1)), facts[0]])] == ["n"]
            assert tx.append(facts[:0]) == []
            assert tx.append([move("o", "B", Stock(1))] * 2) != []
            assert tx.last_event_id() == 5

    @pytest.mark.parametrize(
        "other",
        [
            move("m", "A", Stock(-3)),
            move("m", "B", Stock(-2)),
            move("m", "A", Stock(-2), at(2)),
            move("m", "A", Stock(-2), note="x"),
            opening("A", 8, key="m"),
            replace(move("m", "A", Stock(-2)), location="b"),
        ],
        ids=lambda fact: f"{fact.sku} {fact.change.on_hand} {fact.count} {fact.note} {fact.location}",
    )
    def test_the_same_key_with_other_contents_is_an_error_that_says_so(self, ledger: Ledger, other: Fact) -> None:
        with ledger.begin() as tx:
            tx.append([opening("A", 10), move("m", "A", Stock(-2))])
        with pytest.raises(KeyConflict, match="m: recorded already with other contents"), ledger.begin() as tx:
            tx.append([move("fine", "A", Stock(1)), other])
        with pytest.raises(KeyConflict), ledger.begin() as tx:
            tx.append([move("twice", "A", Stock(1)), move("twice", "A", Stock(2))])
        with ledger.read() as view:
            assert view.last_event_id() == 2

    def test_a_reversal_cannot_be_made_twice(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            tx.append([opening("A", 10), move("m", "A", Stock(-2))])
            tx.append([Fact("u", "A", Kind.REVERSAL, at(2), strikes="m")])
        with pytest.raises(AlreadyReversed, match="undone already by 'u'"), ledger.begin() as tx:
            tx.append([Fact("u2", "A", Kind.REVERSAL, at(3), strikes="m")])
        with pytest.raises(BadInput, match="nothing was recorded as 'm' for B"), ledger.begin() as tx:
            tx.append([Fact("u3", "B", Kind.REVERSAL, at(3), strikes="m")])

    def test_every_location_has_its_own_balance_and_numbers(self, ledger: Ledger) -> None:
        b = replace(opening("A", 5, key="b"), location="b")
        with ledger.begin() as tx:
            tx.append([opening("A", 3), b])
            legs = [
                move("t1", "A", Stock(-1), kind="transfer", batch="t"),
                replace(move("t2", "A", Stock(1), kind="transfer", batch="t"), location="b"),
            ]
            assert [(e.seq, e.balance.on_hand) for e in tx.append(legs)] == [(2, 2), (2, 6)]
            # a late fact at one place re-reads that place only
            late = replace(move("late", "A", Stock(-1), at(-1)), location="b")
            assert [e.balance.on_hand for e in tx.append([late])] == [5, 6]
            assert {k: v.stock.on_hand for k, v in tx.balances(["A"]).items()} == {("A", "main"): 2, ("A", "b"): 6}

    def test_awkward_texts_come_back_as_they_were(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            tx.append([opening(sku, i) for i, sku in enumerate(AWKWARD)])
            tx.append([move(f"note:{sku}", sku, Stock(), note=sku, actor=sku, line="") for sku in AWKWARD])
        with ledger.read() as view:
            assert {key.sku: b.stock.on_hand for key, b in view.balances().items()} == {
                s: i for i, s in enumerate(AWKWARD)
            }
            assert [view.events(sku=sku)[1].fact.note for sku in AWKWARD] == AWKWARD
            assert all(view.event_by_key(f"note:{sku}") for sku in AWKWARD)
            assert view.event_by_key("other") is None

    def test_bad_facts_change_nothing(self, ledger: Ledger) -> None:
        for bad in (move("x", "A", Stock(1.5)), move("", "A", Stock(1)), move("x", "A\0", Stock(1))):  # type: ignore[arg-type]
            with pytest.raises(BadInput), ledger.begin() as tx:
                tx.append([opening("A", 1), bad])
        with ledger.read() as view:
            assert view.last_event_id() == 0

    def test_thousands_of_facts_take_a_few_statements(self, ledger: Ledger) -> None:
        facts = [opening(f"S{i}", i) for i in range(4_000)]
        undo = [Fact(f"u{i}", f"S{i}", Kind.REVERSAL, at(1), strikes=f"open:S{i}") for i in range(4_000)]
        for batch in (facts, undo):
            with ledger.begin() as tx, counted_statements(ledger) as statements:
                assert len(tx.append(batch)) == 4_000
            assert len(statements) < 16, statements
        with ledger.read() as view:
            balances = view.balances(f"S{i}" for i in range(4_000))
            assert [event.id for event in view.iter_events()] == list(range(1, 8_001))
        assert len(balances) == 4_000
        assert not any(b.counted or b.stock.on_hand for b in balances.values())

    def test_any_history_in_any_batches_read_twice_is_its_fold(self, ledger: Ledger) -> None:
        numbers = itertools.count()

        @settings(max_examples=40, deadline=None)
        @given(histories(), st.randoms(use_true_random=False))
        def holds(told: list[Fact], rng: random.Random) -> None:
            number = next(numbers)
            facts = [own(fact, number) for fact in told]
            start = 0
            while start < len(facts):
                end = rng.randint(start + 1, len(facts))
                with ledger.begin() as tx:
                    tx.append(facts[start:end])
                    assert tx.append(facts[:end]) == []
                start = end
            with ledger.begin() as tx:
                tx.put_lines(lines_of(facts))
                found = tx.balances([f"S{number}"]).values()
            assert [balance.stock for balance in found] == [stock.fold(facts)] * bool(facts)

        holds()

    # reading ----------------------------------------------------------------------------------------------------

    def test_events_by_sku_batch_and_number(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            tx.append(
                [
                    opening("A", 1),
                    opening("B", 2),
                    move("m", "A", Stock(1), batch="x"),
                    move("n", "B", Stock(1), batch="x"),
                ]
            )
        with ledger.read() as view:

            def keys(events: Iterable[Event]) -> list[str]:
                return [e.fact.key for e in events]

            assert keys(view.events(batch="x")) == ["m", "n"]
            assert keys(view.events(sku="A")) == ["open:A", "m"]
            assert keys(view.events(after=2)) == ["m", "n"]
            assert keys(view.events(newest_first=True, limit=2)) == ["n", "m"]
            assert keys(view.events(sku="B", batch="x", after=3)) == ["n"]
            assert [key.sku for key in view.balances(since=3)] == ["B"]
            assert view.balances(["C"]) == {} == view.balances([])

    def test_S4_the_last_typed_edit_of_each_sku(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            tx.append([opening("A", 1), opening("B", 2)])
            tx.append([move("1", "A", Stock(1), source="sheet"), move("2", "A", Stock(1), source="sheet")])
            tx.append([move("3", "A", Stock(1), source="cli"), move("4", "A", Stock(1), source="sheet", kind="order")])
            assert {sku: e.fact.key for sku, e in tx.last_edits(["A", "B", "C"]).items()} == {"A": "2"}

    def test_a_snapshot_does_not_see_what_is_committed_later(self, ledger: Ledger) -> None:
        with ledger.read() as view:
            assert view.balances() == {}
            with ledger.begin() as tx:
                tx.append([opening("A", 1)])
            assert view.balances() == {} and view.events() == [] and view.last_event_id() == 0
        with ledger.read() as view:
            assert view.last_event_id() == 1

    def test_state_by_name(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            tx.put("look", {"at": 1, "rows": [None, "00123", 1.5, True]})
            tx.put("gone", "x")
            tx.put("gone", None)
            tx.put("zero", 0)
        with ledger.read() as view:
            assert view.get("look") == {"at": 1, "rows": [None, "00123", 1.5, True]}
            assert (view.get("gone"), view.get("gone", 5), view.get("zero", 5)) == (None, 5, 0)
        with pytest.raises(ValueError, match="the ledger's own"), ledger.begin() as tx:
            tx.put("_head", "x")

    # lines, listings, questions ---------------------------------------------------------------------------------

    def test_order_lines(self, ledger: Ledger) -> None:
        open_ = line("shop/1/1", "A", Stock(0, 2))
        done = replace(
            line("shop/1/2", "A"), moved={(Kind.ORDER, NINE): Stock(0, 2), (Kind.SHIPMENT, at(1)): Stock(-2, -2)}
        )
        waiting = line("shop/2/1", None)
        other = line("till/1/1", "B", Stock(0, 1))
        with ledger.begin() as tx:
            tx.put_lines([done, other, waiting, open_])
            tx.append(
                [
                    Fact("a", "A", Kind.ORDER, NINE, Stock(0, 2), line=open_.key),
                    Fact("b", "A", Kind.ORDER, NINE, Stock(0, 2), line=done.key),
                    Fact("c", "A", Kind.SHIPMENT, at(1), Stock(-2, -2), line=done.key),
                    Fact("d", "B", Kind.ORDER, NINE, Stock(0, 1), line=other.key),
                ]
            )
        with ledger.read() as view:
            assert view.lines() == [open_, done, waiting, other]
            assert view.lines("shop", open_only=True) == [open_, waiting]
            assert view.lines("shop", order_id="1") == [open_, done]
            assert view.lines(skus=["B", "C"]) == [other]
        with ledger.begin() as tx:
            tx.put_line(replace(waiting, state=OrderState.GONE))
            assert tx.lines("shop", order_id="2") == [replace(waiting, state=OrderState.GONE)]

    def test_listings(self, ledger: Ledger) -> None:
        one = Listing("shop", Ref("1", "p", "loc"), "A", title="=1+1", shown=None, shown_at=at(1), taken=None)
        two = Listing("shop", Ref("1", "p", "loc2"), None, most=0, pack_size=6)
        till = Listing("till", Ref("1"), "A")
        with ledger.begin() as tx:
            tx.lock_listings("shop")
            tx.put_listings([two, one, till])
            tx.put_listings([replace(one, shown=5)])
        with ledger.read() as view:
            assert view.listings() == [replace(one, shown=5), two, till]
            assert view.listings("shop", skus=["A"]) == [replace(one, shown=5)]
            assert view.listings("shop", ids=["1"]) == [replace(one, shown=5), two]
            assert view.listings(since=1) == [replace(one, shown=5)] and view.listings_revision() == 2
            assert view.listings(since=2) == []
        with ledger.begin() as tx:
            tx.drop_listing("shop", one.ref)
            assert tx.listings("shop") == [two]

    def test_an_open_question_is_asked_once(self, ledger: Ledger) -> None:
        one = Question("q1", "jump", "A", "1000?", typed=1000, tag=10, asked_at=at(1))
        two = Question("q2", "rename", "B", "renamed?", Origin.IMAGE, typed="12 pcs", reference="row 5", asked_at=at(1))
        with ledger.begin() as tx:
            assert tx.ask([one, two, one]) == [one, two]
            assert tx.ask([replace(one, asked_at=at(2)), replace(two, text="really?")]) == []
            assert tx.questions() == [one, two]
            assert tx.questions(sku="B") == [two]

    def test_a_question_that_does_not_say_when_it_was_asked_is_asked_now(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            (asked,) = tx.ask([Question("q1", "cancellation", "A", "1 was cancelled")])
            assert tx.questions() == [asked] and asked.asked_at.year > 2000

    def test_a_question_whose_cause_comes_back_is_asked_again(self, ledger: Ledger) -> None:
        one = Question("q1", "jump", "A", "1000?", typed=1000, tag=10, asked_at=at(1))
        again = replace(one, asked_at=at(3))
        with ledger.begin() as tx:
            tx.ask([one])
            tx.close_questions(["q1", "nobody's"], "put back")
            assert tx.questions() == []
            assert tx.ask([again]) == [again] == tx.questions()

    def test_a_question_that_was_answered_is_never_asked_again(self, ledger: Ledger) -> None:
        one = Question("q1", "jump", "A", "1000?", typed=1000, tag=10, asked_at=at(1))
        other = replace(one, text="2000?", typed=2000)
        with ledger.begin() as tx:
            tx.ask([one])
            tx.close_questions(["q1"], "Ana: yes", answered=True)
            assert tx.ask([replace(one, asked_at=at(9))]) == []
            assert tx.ask([other]) == [other]
            tx.close_questions(["q1"], "put back")
            assert tx.ask([one]) == []
            assert tx.ask([other]) == [other]

    # exchanges --------------------------------------------------------------------------------------------------

    def test_exchanges_follow_each_other(self, ledger: Ledger, clock: Clock) -> None:
        with ledger.begin() as tx:
            assert (tx.head(), tx.open_intents(), tx.intent("e1"), tx.issued("e1")) == ("", [], None, False)
            tx.intend("e1", "", b"\x00one")
            clock.passes(1)
            tx.intend("e0", "", b"two")
            assert tx.open_intents() == [("e1", "", b"\x00one"), ("e0", "", b"two")]
        with ledger.begin() as tx:
            assert tx.settle_once("e1", "d1")
            assert not tx.settle_once("e1", "d1")
            assert tx.settle_once("e1", "d2")
            tx.set_head("e1")
            tx.intend("e2", "e1", b"three")
        with ledger.read() as view:
            assert (view.head(), view.intent("e1"), view.issued("e0")) == ("e1", b"", True)
            assert view.open_intents() == [("e2", "e1", b"three")]
        with ledger.begin() as tx:
            tx.set_intent_state("e2", "refused")
            assert tx.open_intents() == []
            tx.set_head("not ours")
            assert tx.head() == "not ours"
        with pytest.raises(KeyConflict, match="e2: intended already"), ledger.begin() as tx:
            tx.intend("e2", "", b"")
        with pytest.raises(ValueError, match="never 'lost'"), ledger.begin() as tx:
            tx.set_intent_state("e2", "lost")

    def test_tags_taken_and_cells_to_put_back(self, ledger: Ledger) -> None:
        cells = {("e1", "A"): 10, ("e1", "B"): "12 pcs", ("e2", "A"): None, ("e2", "C"): 1.5, ("e3", "1E5"): True}
        with ledger.begin() as tx:
            tx.take(cells)
            tx.take({})
            assert tx.taken([*cells, ("e1", "C"), ("e9", "A")]) == cells
            assert tx.taken([("e2", "C")]) == {("e2", "C"): 1.5}
            tx.add_put_backs([{"sku": "A", "column": "Title", "cell": "Mug"}, {"sku": "B", "cell": None}])
            (first, one), (_, two) = tx.put_backs()
            assert (one["cell"], two["cell"]) == ("Mug", None)
            tx.close_put_backs([first])
            assert [item for _, item in tx.put_backs()] == [two]
            tx.add_put_backs([{"sku": "C", "cell": 3}], closed=True)
            assert [item for _, item in tx.put_backs()] == [two]
            assert tx.put_backs_since(TEN) == [one, two, {"sku": "C", "cell": 3}]
            assert tx.put_backs_since(datetime.max.replace(tzinfo=UTC)) == []

    # deliveries -------------------------------------------------------------------------------------------------

    def test_deliveries_are_kept_once(self, ledger: Ledger) -> None:
        made = [delivery(f"d{i}", at(i)) for i in range(6)]
        with ledger.begin() as tx:
            assert all(tx.store_delivery(d) for d in reversed(made))
            assert not tx.store_delivery(replace(made[0], body=b"other"))
            assert tx.store_delivery(replace(made[0], channel="till"))
            assert tx.deliveries("shop", state="waiting") == made
            assert tx.deliveries("shop", limit=2) == made[:2]
            for d in made[:4]:
                tx.mark_delivery("shop", d.id, "applied")
            tx.mark_delivery("shop", "d4", "failed", "no such order")
            assert tx.deliveries(state="failed") == [replace(made[4], state="failed", note="no such order")]
            assert tx.prune_deliveries(5) == 0
            assert tx.prune_deliveries(2) == 3
            assert [d.id for d in tx.deliveries("shop")] == ["d3", "d4", "d5"]

    # leases -----------------------------------------------------------------------------------------------------

    def test_a_lease_has_one_holder_and_its_token_only_grows(self, ledger: Ledger, clock: Clock) -> None:
        mine = ledger.acquire("sheet", "one")
        assert mine is not None and mine.token == 1
        assert ledger.acquire("sheet", "two") is None
        assert ledger.acquire("shop", "two") is not None
        clock.passes(20)
        renewed = ledger.renew(mine)
        assert (renewed.token, renewed.until) == (1, clock.now + timedelta(seconds=30))
        again = ledger.acquire("sheet", "one")
        assert again is not None and again.token == 1
        clock.passes(31)
        theirs = ledger.acquire("sheet", "two")
        assert theirs is not None and theirs.token == 2
        with pytest.raises(LeaseLost, match="two with token 2"):
            ledger.renew(mine)
        ledger.release(mine)  # no longer ours: nothing happens
        assert ledger.acquire("sheet", "one") is None
        ledger.release(theirs)
        with pytest.raises(LeaseLost):
            ledger.renew(theirs)
        last = ledger.acquire("sheet", "two")
        assert last is not None and last.token == 3

    def test_a_worker_that_slept_records_nothing(self, ledger: Ledger, clock: Clock) -> None:
        lease = ledger.acquire("sheet", "one")
        assert lease is not None
        with ledger.begin(lease) as tx:
            tx.append([opening("A", 1)])
        clock.passes(31)
        with pytest.raises(LeaseLost, match="ran out"), ledger.begin(lease) as tx:
            tx.append([opening("B", 1)])
        assert ledger.acquire("sheet", "two") is not None
        with pytest.raises(LeaseLost, match="held by two"), ledger.begin(lease) as tx:
            tx.append([opening("B", 1)])
        with pytest.raises(LeaseLost, match="nobody"), ledger.begin(replace(lease, name="none")):
            pass
        with ledger.read() as view:
            assert view.last_event_id() == 1

    # several at once --------------------------------------------------------------------------------------------

    def test_threads_that_append_the_same_facts_append_them_once(self, ledger: Ledger, url: str) -> None:
        others = [Ledger.open(url) for _ in range(3)]
        facts = [opening("A", 10), move("m", "A", Stock(-2)), Fact("u", "A", Kind.REVERSAL, at(2), strikes="m")]

        def append(i: int) -> int:
            with [ledger, *others][i % 4].begin() as tx:
                return len(tx.append(facts))

        assert sorted(together(8, append)) == [0] * 7 + [3]  # type: ignore[type-var]
        for other in others:
            assert other.id == ledger.id
            other.close()

    def test_threads_that_append_different_facts_lose_none(self, ledger: Ledger) -> None:
        with ledger.begin() as tx:
            tx.append([opening("A", 0), opening("B", 0)])

        def append(i: int) -> None:
            for n in range(10):
                first, second = ("A", "B") if i % 2 else ("B", "A")
                with ledger.begin() as tx:
                    tx.append([move(f"{i}/{n}/1", first, Stock(1))])
                    tx.append([move(f"{i}/{n}/2", second, Stock(1))])

        assert together(6, append) == [None] * 6
        with ledger.read() as view:
            assert {b.stock.on_hand for b in view.balances().values()} == {60}
            assert [e.id for e in view.events()] == list(range(1, 123))

    def test_what_a_transaction_has_read_stays_true_until_it_commits(self, ledger: Ledger) -> None:
        """Read, decide, write, by many at once: no decision is made on a figure that another has changed."""

        def add_one(_: int) -> None:
            with ledger.begin() as tx:
                tx.put("n", tx.get("n", 0) + 1)

        together(8, add_one)
        with ledger.read() as view:
            assert view.get("n") == 8

    def test_one_of_many_gets_the_lease(self, ledger: Ledger) -> None:
        got = together(8, lambda i: ledger.acquire("sheet", f"worker {i}"))
        assert len([lease for lease in got if lease is not None]) == 1

    def test_a_delivery_that_comes_twice_at_once_is_stored_once(self, ledger: Ledger) -> None:
        def store(_: int) -> bool:
            with ledger.begin() as tx:
                return tx.store_delivery(delivery("d", NINE))

        assert sorted(together(8, store)) == [False] * 7 + [True]  # type: ignore[type-var]

    def test_several_may_start_at_once(self, url: str) -> None:
        opened = together(6, lambda _: Ledger.open(url))
        ids = {ledger.id for ledger in opened if isinstance(ledger, Ledger)}
        assert len(ids) == 1 and all(isinstance(ledger, Ledger) for ledger in opened), opened
        for ledger in opened:
            assert isinstance(ledger, Ledger)
            ledger.close()

    def test_processes_may_start_and_append_at_once(self, url: str) -> None:
        running = [process("same", url) for _ in range(3)]
        for started in running:
            assert started.wait(timeout=60) == 0
        ledger = Ledger.open(url)
        with ledger.read() as view:
            assert [e.fact.key for e in view.events()] == ["open:A"] + [f"m{i}" for i in range(20)]
        assert ledger.verify() == []
        ledger.close()

    # death ------------------------------------------------------------------------------------------------------

    def test_an_exception_leaves_nothing(self, ledger: Ledger) -> None:
        for step in range(len(EVERY_WRITE)):
            with pytest.raises(Boom), ledger.begin() as tx:
                for write in EVERY_WRITE[: step + 1]:
                    write(tx)
                raise Boom
        with ledger.read() as view:
            assert_empty(view.last_event_id(), view.balances(), view.lines(), view.listings(), view.questions())
            assert_empty(view.open_intents(), view.put_backs(), view.deliveries(), view.head(), view.get("name"))
            assert_empty(view.taken([("e", "A")]))
        with ledger.begin() as tx:
            for write in EVERY_WRITE:
                write(tx)
            tx.append([move("l", "A", Stock(0, 1), NINE, kind="order", line="shop/1/1")])

    def test_a_process_killed_between_two_statements_leaves_nothing(self, url: str) -> None:
        started = process("die", url)
        assert started.stdout is not None
        assert started.stdout.readline() == b"appended\n"
        started.send_signal(signal.SIGKILL)
        assert started.wait(timeout=60) == -signal.SIGKILL
        ledger = Ledger.open(url)
        with ledger.begin() as tx:
            assert tx.last_event_id() == 0 and tx.balances() == {}
            assert len(tx.append([opening("A", 10)])) == 1
        assert ledger.verify() == []
        ledger.close()

    # proof ------------------------------------------------------------------------------------------------------

    def test_events_cannot_be_changed_or_deleted(self, ledger: Ledger, url: str) -> None:
        with ledger.begin() as tx:
            tx.append([opening("A", 10)])
        for statement in ("UPDATE events SET note = 'x'", "DELETE FROM events"):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"), database(url).begin() as connection:
                connection.execute(sa.text(statement))

    @pytest.mark.parametrize(
        ("tampering", "said"),
        [
            ("UPDATE balances SET on_hand = 11 WHERE sku = 'A'", "stock of its balance is 11/0/11, its events"),
            ("UPDATE balances SET counted = NOT counted WHERE sku = 'A'", "counted of its balance is False"),
            ("UPDATE balances SET last_count_at = 0 WHERE sku = 'A'", "last_count_at of its balance is 1970"),
            ("DELETE FROM balances WHERE sku = 'A'", "A at main: no balance is kept"),
            ("INSERT INTO balances SELECT 'C', location, on_hand, committed, damaged, seq, counted, last_at, "
             "last_count_at, event_id FROM balances WHERE sku = 'A'", "C at main: a balance without a single event"),
            ("UPDATE events SET on_hand = 9 WHERE id = 1", "event 1 says 9/0/9 after 0/0/0 and a change of 10/0/10"),
            ("UPDATE events SET change_on_hand = -3, on_hand = 7 WHERE id = 2", "is 8/0/8, its events say 7"),
            ("UPDATE events SET counted = 12 WHERE id = 1", "its facts come to 10/0/10, its last event 2 says 8/0/8"),
            ("UPDATE events SET seq = 7 WHERE id = 2", "sequence number 7 where 2 was due"),
            ("DELETE FROM events WHERE id = 3", "B at main: a balance without a single event"),
            ("DELETE FROM order_lines", "line shop/1/1: events name it, but no such line"),
            ("UPDATE events SET change_committed = 2, committed = 2 WHERE id = 4",
             "line shop/1/1: order of 2026-03-02T09:00:00+00:00 moved 0/1/-1 by its own word, 0/2/-2 by its events"),
        ],
        ids=lambda text: text[:40],
    )  # fmt: skip
    def test_verify_tells_what_is_wrong(self, url: str, tampering: str, said: str) -> None:
        ledger = Ledger.open(url)
        with ledger.begin() as tx:
            tx.append([opening("A", 10), move("m", "A", Stock(-2)), opening("B", 1)])
            tx.put_line(line("shop/1/1", "D", Stock(0, 1)))
            tx.append([move("o", "D", Stock(0, 1), NINE, kind="order", line="shop/1/1")])
        assert ledger.verify() == []
        self.tamper(url, tampering)
        problems = ledger.verify()
        assert any(said in problem for problem in problems), problems
        ledger.close()

    def tamper(self, url: str, statement: str) -> None:
        """Change the tables behind our back, past all that protects them, as somebody with a database tool could."""
        raise NotImplementedError

    # opening ----------------------------------------------------------------------------------------------------

    def test_a_ledger_keeps_its_id(self, ledger: Ledger, url: str) -> None:
        again = Ledger.open(url)
        assert again.id == ledger.id and again.id.startswith("led-")
        again.close()

    def test_a_ledger_of_a_newer_version_is_left_alone(self, url: str) -> None:
        Ledger.open(url).close()
        with database(url).begin() as connection:
            connection.execute(sa.text("UPDATE ledger_version SET version_num = '9999'"))
        with pytest.raises(ConfigError, match="newer sheets-sync"):
            Ledger.open(url)

    def test_the_schema_is_the_sum_of_the_migrations(self, ledger: Ledger, url: str) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext
        from alembic.script import ScriptDirectory

        from sheets_sync.ledger.engine import MIGRATIONS
        from sheets_sync.ledger.schema import HEAD, VERSION_TABLE, metadata

        assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD
        with database(url).connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
            )
            assert compare_metadata(context, metadata) == []
            assert partial_indexes(connection) == partial_indexes_of(metadata)

    def test_a_busy_ledger_says_so(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "BUSY_SECONDS", 0.05)
        ledger, other = Ledger.open(url), Ledger.open(url)
        with ledger.begin() as tx:
            tx.append([opening("A", 1)])
            for busy in (other, ledger):
                with pytest.raises(Unavailable, match="busy"), busy.begin():
                    pass
            Ledger.open(url).close()  # to open it and to read, nobody waits
        with other.begin() as tx:
            assert len(tx.append([opening("A", 1), opening("B", 1)])) == 1
        ledger.close()
        other.close()


# what the tests are made of -------------------------------------------------------------------------------------


def line(key: str, sku: str | None, committed: Stock | None = None) -> LineState:
    channel, order_id, line_id = key.split("/")
    level = OrderLine(line_id, 2, sku="remote", ref=Ref("1", "p"), shipped=(Shipment(at(1), 1, "loc"),), taken_at=at(1))
    return LineState(
        key,
        channel,
        order_id,
        level,
        placed_at=NINE,
        version=at(1),
        read_at=None,
        state=OrderState.OPEN,
        sku=sku,
        moved={(Kind.ORDER, NINE): committed} if committed else {},
    )


def own(fact: Fact, number: int) -> Fact:
    """The fact, as one of a SKU, keys and lines of its own."""
    return replace(
        fact,
        key=f"{number}:{fact.key}",
        sku=f"S{number}",
        strikes=fact.strikes and f"{number}:{fact.strikes}",
        line=fact.line and f"shop/{number}/{fact.line}",
        apart=frozenset(f"shop/{number}/{name}" for name in fact.apart),
    )


def lines_of(facts: Sequence[Fact]) -> list[LineState]:
    """Lines whose own word is what the facts that still stand say was moved for them."""
    moved: dict[str, dict[tuple[Kind, datetime], Stock]] = {fact.line: {} for fact in facts if fact.line}
    for fact in stock.standing(facts):
        if fact.line:
            have = moved[fact.line].get((fact.kind, fact.occurred_at), Stock())
            moved[fact.line][fact.kind, fact.occurred_at] = have.plus(fact.change)
    return [replace(line(key, facts[0].sku), moved=moves) for key, moves in moved.items()]


def delivery(id: str, when: datetime) -> StoredDelivery:
    return StoredDelivery("shop", id, "orders/create", {"X-Topic": "ü"}, b'{"id": 1}\xff\x00', when)


EVERY_WRITE: list[Callable[[Tx], object]] = [
    lambda tx: tx.append([opening("A", 10), move("m", "A", Stock(-2))]),
    lambda tx: tx.append([Fact("u", "A", Kind.REVERSAL, at(2), strikes="m")]),
    lambda tx: tx.put_line(line("shop/1/1", "A", Stock(0, 1))),
    lambda tx: tx.put_listings([Listing("shop", Ref("1"), "A")]),
    lambda tx: tx.ask([Question("q", "jump", "A", "?")]),
    lambda tx: tx.intend("e", "", b""),
    lambda tx: tx.settle_once("e", "d"),
    lambda tx: tx.set_head("e"),
    lambda tx: tx.take({("e", "A"): 1}),
    lambda tx: tx.add_put_backs([{"a": 1}]),
    lambda tx: tx.store_delivery(delivery("d", NINE)),
    lambda tx: tx.put("name", 1),
]


def assert_empty(*values: object) -> None:
    assert not any(values), values


def database(url: str) -> sa.Engine:
    """The same database by another door: no protection of ours but what stands in it."""
    return Database(url).engine


class counted_statements:  # noqa: N801 - reads as a verb phrase after `with`
    """The statements that a ledger's database is sent meanwhile."""

    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger._database.engine

    def __enter__(self) -> list[str]:
        self.seen: list[str] = []
        sa.event.listen(self._engine, "before_cursor_execute", self._note)
        return self.seen

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, _c: object, _cursor: object, statement: str, *_: object) -> None:
        self.seen.append(statement[:60])


def partial_indexes(connection: sa.Connection) -> set[tuple[str, bool]]:
    """(name, unique) of the indexes with a condition, which Alembic does not compare."""
    found = set()
    inspector = sa.inspect(connection)
    for table in inspector.get_table_names():
        for index in inspector.get_indexes(table):
            options = index.get("dialect_options", {})
            if any(str(name).endswith("_where") for name in options):
                found.add((str(index["name"]), bool(index["unique"])))
    return found


def partial_indexes_of(metadata: sa.MetaData) -> set[tuple[str, bool]]:
    indexes = [index for table in metadata.tables.values() for index in table.indexes]
    return {(str(i.name), bool(i.unique)) for i in indexes if i.dialect_options["sqlite"]["where"] is not None}


PROGRAM = """
import sys, time
from datetime import UTC, datetime
from sheets_sync.ledger import Ledger
from sheets_sync.model import Fact, Kind, Stock
what, url = sys.argv[1:]
nine = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ledger = Ledger.open(url)
facts = [Fact("open:A", "A", Kind.OPENING, nine, count=10)]
facts += [Fact(f"m{i}", "A", Kind.ADJUSTMENT, nine, Stock(0, 1)) for i in range(20)]
if what == "same":
    for fact in facts:
        with ledger.begin() as tx:
            tx.append([fact])
else:
    with ledger.begin() as tx:
        tx.append(facts)
        tx.put("name", 1)
        print("appended", flush=True)
        sys.stdin.read()
"""


def process(what: str, url: str) -> subprocess.Popen[bytes]:
    """A second process at work on the same ledger."""
    root = Path(__file__).resolve().parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what, url],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
