"""A dry run: what a pass would record, write and send, by doing all of it on a copy.

The ledger is copied to a file that is thrown away; the spreadsheet and the channels are read as ever, and what would be
written to them is kept instead of sent. So a plan is made by the very code that would carry it out, and what one side
would change is already in the figures of the next. What only reading tells (new orders, a figure that somebody changed
in the shop) is in it as well.

What is unsatisfying: a row of Adjustments is recorded only after its Id has landed in the sheet, and nothing lands
here; so those rows are judged by what stands there. An order that comes while the plan is made may be in it or not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sheets_sync import approvals, sync
from sheets_sync.approvals import Would
from sheets_sync.channel_sync import ChannelMemory, Sent, channel_pass
from sheets_sync.channels import Channel, Outcome, Page, PushResult, Target
from sheets_sync.desk import Desk
from sheets_sync.edits import RowWrite
from sheets_sync.errors import NextPass, SheetsSyncError
from sheets_sync.ledger import Ledger, View
from sheets_sync.model import Event, Fact, Figure, Order, Question, Ref, RemoteListing
from sheets_sync.sheet.workbook import Workbook

ROUNDS = 5


@dataclass(frozen=True)
class Calls:
    """How many calls one side would get: those that write, and those that only read."""

    name: str  # "sheet" or a channel's
    writes: int = 0
    reads: int = 0
    trouble: str = ""  # why it could not be read to its end


@dataclass(frozen=True)
class Plan:
    """All that would be done now. None of it was."""

    events: tuple[Event, ...] = ()
    questions: tuple[Question, ...] = ()
    writes: tuple[RowWrite, ...] = ()
    sent: tuple[Sent, ...] = ()
    calls: tuple[Calls, ...] = ()
    problems: tuple[str, ...] = ()  # for which the sheet would be left alone
    approvals: tuple[Would, ...] = ()  # what approving the open holds would push besides


def plan(desk: Desk, workbook: Workbook) -> Plan:
    """What `sync --once` would do now. Raises SheetNotReady where it would stop."""
    with tempfile.TemporaryDirectory(prefix="sheets-sync-plan-") as folder:
        copy = desk.ledger.copy_to(Path(folder) / "ledger.db")
        try:
            return _Rehearsal(desk, copy, workbook).run()
        finally:
            copy.close()


class _Rehearsal:
    def __init__(self, desk: Desk, copy: Ledger, workbook: Workbook) -> None:
        self.workbook = _Unsent(workbook)
        self.channels = {name: _Unpushed(channel) for name, channel in desk.channels.items()}
        channels = {name: cast(Channel, channel) for name, channel in self.channels.items()}
        self.desk = replace(desk, ledger=copy, channels=channels, wake=lambda _: None)

    def run(self) -> Plan:
        with self.desk.ledger.read() as view:
            before, asked = view.last_event_id(), _keys(view)
        report = sync.rehearse(self.desk, cast(Workbook, self.workbook))
        self._adjust(report.adjustments)
        sent = tuple(self._channels())
        with self.desk.ledger.read() as view:
            events = tuple(view.events(after=before))
            questions = tuple(q for q in view.questions() if q.key not in asked)
        sheet = Calls("sheet", self.workbook.sent, self.workbook.read)
        calls = (sheet, *(Calls(name, c.writes, c.reads, c.trouble) for name, c in self.channels.items()))
        return Plan(events, questions, report.writes, sent, calls, report.problems, tuple(approvals.would(self.desk)))

    def _adjust(self, facts: Sequence[Fact]) -> None:
        with self.desk.ledger.begin() as tx:
            tx.append(facts)

    def _channels(self) -> list[Sent]:
        """Every channel in turn, as each may learn of orders that change the others, until nothing is left."""
        memories, sent = {name: ChannelMemory() for name in self.channels}, list[Sent]()
        for _ in range(ROUNDS):
            with self.desk.ledger.read() as view:
                before = view.last_event_id()
            again = [self._channel(name, memory, sent) for name, memory in memories.items()]
            with self.desk.ledger.read() as view:
                if not any(again) and view.last_event_id() == before:
                    break
        return sent

    def _channel(self, name: str, memory: ChannelMemory, sent: list[Sent]) -> bool:
        if self.channels[name].trouble:
            return False
        try:
            report = channel_pass(self.desk, name, memory, None)
        except NextPass:
            return True
        except SheetsSyncError as error:  # one channel that is away does not hide what the others would get
            self.channels[name].trouble = str(error)
            return False
        sent += report.sent
        return report.again


def _keys(view: View) -> set[str]:
    return {question.key for question in view.questions()}


@dataclass
class _Unsent:
    """A workbook that is read, and not written."""

    book: Workbook
    sent: int = 0
    read: int = 0

    def send(self, requests: Sequence[Any]) -> dict[str, Any]:
        self.sent += bool(requests)
        return {"replies": [{} for _ in requests]}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.book, name)
        if name in ("look", "values", "layout", "named_range_ids", "survey", "image", "read_image"):
            self.read += 1
        return found


@dataclass
class _Unpushed:
    """A channel that is read, and whose listings show what would have been pushed."""

    channel: Channel
    writes: int = 0
    reads: int = 0
    trouble: str = ""
    pushed: dict[Ref, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name, self.kind, self.capabilities = self.channel.name, self.channel.kind, self.channel.capabilities
        self.handshake, self.verify, self.signals = self.channel.handshake, self.channel.verify, self.channel.signals

    def push(self, targets: Sequence[Target]) -> list[PushResult]:
        self.writes += len({getattr(target.ref, self.capabilities.grouped_by, "") for target in targets})
        self.pushed |= {target.ref: target.figure for target in targets}
        return [PushResult(target.ref, Outcome.APPLIED) for target in targets]

    def figures(self, refs: Sequence[Ref]) -> list[Figure]:
        self.reads += 1
        return [replace(f, shows=self.pushed.get(f.ref, f.shows)) for f in self.channel.figures(refs)]

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        self.reads += 1
        page = self.channel.listings(cursor)
        return Page([replace(item, shows=self.pushed.get(item.ref, item.shows)) for item in page.items], page.cursor)

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        self.reads += 1
        return self.channel.orders(since, cursor)

    def order(self, order_id: str) -> Order:
        self.reads += 1
        return self.channel.order(order_id)

    def results(self, job: str) -> Sequence[PushResult] | None:
        self.reads += 1
        return self.channel.results(job)
