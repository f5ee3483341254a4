"""A state machine over orders: levels that change, arrive late, twice or never; answers; counts; policies; undo.

What must hold, whatever happens in whatever order: for every line, what was moved equals what its final level and the
decisions about it say (law 1); the ledger proves itself, balances and law 2; nothing is given back that was not taken.
It drives the real ledger and the real booking; only the channel is played, by levels it could show.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from pydantic import SecretStr

from sheets_sync import adjusting, answering, booking, lines, review
from sheets_sync.adjustments import Wish
from sheets_sync.channels.registry import build_all
from sheets_sync.config import Settings, SheetSettings, WooCommerceSettings
from sheets_sync.desk import OPENED, STARTED, Desk
from sheets_sync.errors import AlreadyReversed, BadInput
from sheets_sync.ledger import Ledger
from sheets_sync.model import (
    Fact,
    Kind,
    LineState,
    Listing,
    Moves,
    Order,
    OrderLine,
    OrderState,
    Ref,
    Said,
    Shipment,
    Stock,
    StockKey,
)
from sheets_sync.order_book import book_orders

SHOP, SKU, REF = "shop", "MUG", Ref("1")
BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
few = st.integers(0, 3)
REASONS = ("return", "cancellation", "loss", "damage", "sold")
WORDS = sorted({answer.word for kind in lines.OF_LINES for answer in review.ANSWERS.get(kind, ())})


def total(moves: Moves) -> Stock:
    out = Stock()
    for change in moves.values():
        out = out.plus(change)
    return out


class Orders(RuleBasedStateMachine):
    """`readings` are all that the channel ever showed; any of them may arrive at any time, again and again."""

    readings = Bundle("readings")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now = BEGAN
        self.ledger = Ledger.open(f"sqlite:///{self.folder.name}/ledger.db", clock=lambda: self.now)
        about = WooCommerceSettings(
            name=SHOP, title="Shop", base_url="https://shop.example", consumer_key=SecretStr("k"),
            consumer_secret=SecretStr("s"),
        )  # fmt: skip
        config = Settings(Path("config.toml"), SheetSettings(spreadsheet_id="book"), channels={SHOP: about})
        self.desk = Desk(self.ledger, build_all(config.channels), config, lambda: self.now)
        self.level: dict[str, Order] = {}  # what the channel shows of each order now
        self.newest: dict[str, Order] = {}  # the newest reading of each that has arrived
        self.keys = 0
        with self.ledger.begin() as tx:
            tx.put(STARTED, BEGAN.isoformat())
            tx.put(OPENED, BEGAN.isoformat())
            tx.put_listings([Listing(SHOP, REF, SKU)])
            tx.append([Fact("opening", SKU, Kind.OPENING, BEGAN, count=20)])
        self.now += timedelta(minutes=10)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    # the channel ------------------------------------------------------------------------------------------------

    @rule(target=readings, ordered=st.integers(1, 4), paid=st.booleans())
    def placed(self, ordered: int, paid: bool) -> Order:
        id = str(len(self.level) + 1)
        line = OrderLine("1", ordered, sku=SKU, ref=REF)
        return self._shows(Order(id, self.now, self.now, OrderState.OPEN, (line,), number=f"#{id}", paid=paid))

    @precondition(lambda self: self.level)
    @rule(
        target=readings,
        which=few,
        ordered=few,
        shipped=few,
        cancelled=few,
        freely=st.booleans(),
        returned=few,
        restocked=few,
        times=st.sampled_from(["new", "kept", "one time"]),
    )
    def changes(self, which: int, ordered: int, shipped: int, cancelled: int, returned: int, restocked: int,
                freely: bool, times: str) -> Any:  # fmt: skip
        """Any level that a vendor may show: grown, edited, part shipped, part cancelled, part returned."""
        order = list(self.level.values())[which % len(self.level)]
        if order.state is OrderState.GONE or not order.lines:
            return multiple()
        before = order.lines[0]
        sent = before.sent + shipped if times != "kept" else before.sent
        parcels = (*before.shipped, Shipment(self.now, shipped)) if shipped and times == "new" else before.shipped
        if times == "one time" and sent:
            parcels = (Shipment(self.now, sent),)
        sent = sum(p.units for p in parcels)
        line = replace(
            before,
            ordered=max(before.ordered + ordered - 1, sent),
            shipped=parcels,
            cancelled=cancelled,
            freely=freely,
            cancelled_at=self.now if cancelled else None,
            returned=min(sent, max(before.returned, returned)),
            restocked=min(sent, returned, max(before.restocked, restocked)),
        )
        return self._shows(replace(order, lines=(line,), updated_at=self.now, paid=True))

    @precondition(lambda self: self.level)
    @rule(target=readings, which=few, back=st.booleans())
    def trashed(self, which: int, back: bool) -> Order:
        order = list(self.level.values())[which % len(self.level)]
        state = OrderState.OPEN if order.state is OrderState.GONE and order.lines else OrderState.GONE
        return self._shows(replace(order, state=state, updated_at=self.now))

    def _shows(self, order: Order) -> Order:
        self.level[order.id] = order
        self.now += timedelta(minutes=7)
        return order

    @rule(order=readings, read=st.booleans())
    def arrives(self, order: Order, read: bool) -> None:
        """A reading, now or late or once more, by a look or in a delivery."""
        order = replace(order, read_at=order.updated_at if read else None)
        with self.ledger.begin() as tx:
            book_orders(tx, self.desk, SHOP, [order])

    @precondition(lambda self: self.level)
    @rule()
    def looked_at(self) -> None:
        """The next look catches up with everything that was missed."""
        with self.ledger.begin() as tx:
            book_orders(tx, self.desk, SHOP, [replace(o, read_at=self.now) for o in self.level.values()])

    # people -----------------------------------------------------------------------------------------------------

    @rule(which=few, word=st.sampled_from(WORDS), units=st.sampled_from([None, 1, 2]))
    def answers(self, which: int, word: str, units: int | None) -> None:
        with self.ledger.read() as view:
            asked = view.questions()
        if not asked:
            return
        question = asked[which % len(asked)]
        try:
            answering.answer(self.desk, review.short_id(question), word, units=units)
        except BadInput:
            return
        self.now += timedelta(minutes=3)

    @rule(change=st.sampled_from([-2, -1, 1, 2]), reason=st.sampled_from(REASONS), order=st.integers(1, 3))
    def adjusts(self, change: int, reason: str, order: int) -> None:
        self.keys += 1
        wanted = Wish(SKU, change, reason=reason, reference=f"#{order}")
        try:
            adjusting.adjust(self.desk, wanted, key=f"adjust:{self.keys}", plain=True)
        except BadInput:
            return
        self.now += timedelta(minutes=3)

    @rule(figure=st.integers(0, 20), ago=st.sampled_from([0, 5, 30]))
    def counts(self, figure: int, ago: int) -> None:
        self.keys += 1
        at = max(BEGAN, self.now - timedelta(minutes=ago, seconds=1))
        with self.ledger.begin() as tx:
            tx.append([Fact(f"count:{self.keys}", SKU, Kind.STOCK_TAKE, at, count=figure)])

    @rule(back=st.integers(1, 6))
    def undoes(self, back: int) -> None:
        """An event, or an order's line as a whole (O7); and that undone again."""
        with self.ledger.read() as view:
            event = view.last_event_id() + 1 - back
        if event > 1:
            try:
                answering.undo(self.desk, str(event))
            except (BadInput, AlreadyReversed):
                return

    @rule(days=st.integers(1, 20))
    def time_goes_by(self, days: int) -> None:
        self.now += timedelta(days=days)
        with self.ledger.begin() as tx:
            booking.ask_waiting(tx, self.desk, SHOP, [line.order_id for line in tx.lines(SHOP)])

    @rule(
        ships=st.sampled_from(["when_marked", "at_once"]),
        returns=st.sampled_from(["trust", "ask"]),
        cancellations=st.sampled_from(["ask", "back_to_stock", "gone", "damaged"]),
    )
    def decides(self, ships: str, returns: str, cancellations: str) -> None:
        """The seller changes the channel's policies: for newer orders."""
        how = {"ships": ships, "returns": returns, "cancellations": cancellations}
        about = self.desk.settings.channels[SHOP].model_copy(update=how)
        self.desk.settings = replace(self.desk.settings, channels={SHOP: about})
        with self.ledger.begin() as tx:
            booking.note_policies(tx, self.desk, SHOP)
        self.now += timedelta(minutes=1)

    # what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def every_line_moved_what_its_level_and_the_decisions_say(self) -> None:
        if not hasattr(self, "ledger"):
            return
        with self.ledger.read() as view:
            held, counted = booking.policies(view, self.desk, SHOP), booking.last_count(view)
            for line in view.lines(SHOP):
                policy = held.at(line.placed_at)
                want = lines.due(line, policy)
                assert total(line.moved) == total(want), "law 1"
                asked = lines.questions(line, policy, counted)
                if not any(w.what in (lines.BEFORE, lines.AFTER) for w in line.said.heard):
                    moved_aside = line.moved != want
                    between = any(q.kind == lines.COUNT_BETWEEN for q in asked)
                    assert not moved_aside or between or policy.at_once or not line.counted, (
                        "only a count holds a time back"
                    )
                self._nothing_twice(line, policy)
                self._asked(view, line, asked)

    def _nothing_twice(self, line: LineState, policy: lines.Policy) -> None:
        moved, said = total(line.moved), line.said
        most = max(line.level.ordered, line.level.sent, said.left)
        assert -most <= moved.on_hand <= 0
        assert 0 <= moved.committed <= most
        assert 0 <= moved.damaged <= most
        assert moved.committed - moved.on_hand <= most, "a unit is promised, or gone, once"
        if said == Said() and not policy.at_once and not policy.cancelled and line.counted:
            assert moved.on_hand <= -line.level.sent + line.level.restocked

    @staticmethod
    def _asked(view: Any, line: LineState, now_open: Any) -> None:
        about = {q.key for q in view.questions() if q.kind in lines.OF_LINES and q.about.get("line") == line.key}
        assert {q.key for q in now_open} <= about, "what is open is asked"

    @invariant()
    def the_ledger_proves_itself(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.verify() == []

    @precondition(lambda self: self.level)
    @rule()
    def in_the_end_the_channels_last_level_stands(self) -> None:
        self.looked_at()
        with self.ledger.read() as view:
            for line in view.lines(SHOP):
                last = self.level[line.order_id]
                gone = last.state is OrderState.GONE
                assert line.state is last.state
                assert gone or (line.level.ordered, line.level.sent) == (last.lines[0].ordered, last.lines[0].sent)
            stock = view.balances([SKU])[StockKey(SKU)].stock
            promised = sum(total(line.moved).committed for line in view.lines(SHOP))
            assert stock.committed == promised


TestOrders = Orders.TestCase
TestOrders.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
