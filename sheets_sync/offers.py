"""Law 3: a channel is raised only on fresh knowledge. `plan` sorts listings into lower, look and raise; `decide` says
what to write.

A channel lowers its own figure when it sells. So what a listing should show is compared with what we *expect* it to
show: the figure it last acknowledged less what its channel took off since. A listing is out of step when its offer
differs from that. Lowering never waits: at worst it sells too little for a moment. A raise on stale knowledge sells
units that are gone.

A channel's pass goes in two steps:

1. `plan`, and its `lower` is written at once.
2. For what is in `look`: read the figures and store `seen`; `decide` with `sees`, over the listing as it was *before*
   the look: its expectation shows the sale that we have not seen, and a lower goes out now. Then read the channel's
   orders, by a read begun after that look, book them, and `decide` again with `explained` and `fresh`; write against
   the figure looked at. Without compare-and-set look once more, and write `take_off_missing`. A stale answer starts
   this step again, through `decide_again`; so does `look_again`, a few times.

All figures are the listing's packs in its channel's own basis; `available` is in units.

What is unsatisfying: without compare-and-set a sale between the last look and the write is overwritten. Nobody can
close that gap from outside; the next look finds it as a sale not seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from sheets_sync.model import Listing, Ref

# what a listing should show, and what we expect it to show ------------------------------------------------------


def offer(available: int | None, listing: Listing) -> int | None:
    """The packs to offer: `clamp(floor((available - hold_back) / pack_size), 0, most)`.

    None while the SKU has no count (B1) or the listing is matched to none. `available` is summed over the channel's
    locations before this clamp (K5), and may be negative.
    """
    if available is None or listing.sku is None:
        return None
    packs = max(0, (available - listing.hold_back) // listing.pack_size)
    return packs if listing.most is None else min(packs, listing.most)


def expected(listing: Listing) -> int | None:
    """What the listing shows, as far as we know: `shown - taken`, not below 0. None: only a look can tell (P2)."""
    if listing.shown is None or listing.taken is None:
        return None
    return max(0, listing.shown - listing.taken)


@dataclass(frozen=True)
class View:
    """A listing with all that a decision about it needs.

    `explained`: a read of its channel's orders, begun after the look that gave `sees`, has ended and is booked (P5).
    `fresh`: this pass read the channel's orders by a read begun after the reason to raise (P4); see `gate_open`.
    """

    listing: Listing  # as it was before the look
    available: int | None
    sees: int | None = None  # its figure as read just now
    reserved: int | None = None  # gross channels: the reservations of the same look
    explained: bool = False
    fresh: bool = False
    gross: bool = False  # the channel subtracts its own open reservations from what is written (P9)
    frozen: bool = False  # the SKU is being counted (C7)


def unseen(view: View) -> int:
    """Packs that the channel must have sold without our knowing: they count as promised, not as drift (P5)."""
    expect = expected(view.listing)
    before = view.listing.shown if expect is None else expect
    if view.sees is None or view.explained or before is None:
        return 0
    return max(0, before - view.sees)


def drift(view: View) -> int | None:
    """What the listing shows above (+) or below (-) what we expect and no order explains; None: not known yet.

    The listing in `view` must have had the orders of the explaining read noted (`note_taken`).
    """
    expect = expected(view.listing)
    if view.sees is None or not view.explained or expect is None:
        return None
    return view.sees - expect


def wanted(view: View) -> int | None:
    """The figure that the listing should show; on a gross channel with the channel's reservations added (P9)."""
    listing, available = view.listing, view.available
    promised = unseen(view) * listing.pack_size
    packs = offer(None if available is None else available - promised, listing)
    if packs is None or not view.gross:
        return packs
    return packs + (listing.reserved if view.reserved is None else view.reserved)


def decide(view: View) -> int | None:
    """The figure to write on the listing now, or None: nothing to write, or not yet (P1 to P7, P9).

    Below what it shows it is written at once. Above, or where nobody knows what it shows, only on fresh knowledge: the
    orders read since the reason, and since the look if there was one. Nothing is raised that is paused or frozen.
    """
    want = wanted(view)
    now = expected(view.listing) if view.sees is None else view.sees
    if want is None or want == now or not view.listing.pushable:
        return None
    if now is not None and want < now:
        return want
    knows = view.fresh and (view.sees is None or view.explained)
    return want if knows and not (view.listing.paused or view.frozen) else None


def decide_again(view: View, refused_against: int | None) -> int | None:
    """`decide` after a compare-and-set was stale: never twice on the same figure (P6).

    `refused_against` is the figure that the refused write expected. Where the look still gives it, the vendor's read
    runs behind its write: the next pass looks again.
    """
    return None if view.sees == refused_against else decide(view)


def take_off_missing(target: int, first_look: int, second_look: int) -> int:
    """The figure to write where there is no compare-and-set: what was sold between two looks is taken off (P4)."""
    return max(0, target - max(0, first_look - second_look))


def look_again(looked_at: datetime, raised_at: datetime | None) -> bool:
    """Whether a raise needs another look: something that raises was recorded since the last one.

    A cancellation that the channel put back after the look, and a sale of as many units after the orders read, leave
    just the figure that was looked at. `raised_at` as for `gate_open`, but with all that is recorded by now. Give up
    after a few looks, or a channel with many cancellations would starve.
    """
    return raised_at is not None and raised_at >= looked_at


def gate_open(read_begun: datetime | None, raised_at: datetime | None, lag: timedelta = timedelta(0)) -> bool:
    """Whether a read of a channel's orders begun at `read_begun` knows all up to the reason to raise (P4).

    `raised_at` is when the last event with a change of available above 0 was recorded for the SKU (a kit: the last of
    its components'), *without* those that this very read booked: a busy channel must not starve. None: no event is the
    reason (a setting, a lost answer); any read of this pass will do. `lag` is how late the channel's order list runs.
    """
    if read_begun is None:
        return False
    return raised_at is None or read_begun - lag > raised_at


# which listings to touch in a pass ------------------------------------------------------------------------------


class Action(StrEnum):
    """What a pass does next about a listing that is out of step."""

    LOWER = "lower"  # write the figure now, against what we expect
    LOOK = "look"  # read its figure first
    RAISE = "raise"  # write the figure now: the channel can't be read, and its orders are known
    LEAVE = "leave"  # not now; `why` says what has to happen first


@dataclass(frozen=True)
class Step:
    """What to do next about one listing. `figure` is what it should show as far as we know before a look."""

    action: Action
    listing: Listing
    available: int | None
    figure: int | None
    expected: int | None
    why: str


@dataclass(frozen=True)
class Plan:
    """The listings that are out of step, by what to do next; smallest stock first. What is in step is in none."""

    lower: tuple[Step, ...] = ()
    look: tuple[Step, ...] = ()  # those to be lowered first, then the unknown, then those to be raised
    raise_: tuple[Step, ...] = ()
    left: tuple[Step, ...] = ()

    @property
    def out_of_step(self) -> int:
        """How many listings should show another figure than they do, or may; not those that we never push."""
        steps = (*self.lower, *self.look, *self.raise_, *self.left)
        return sum(step.figure is not None and step.listing.pushable for step in steps)


@dataclass(frozen=True)
class Means:
    """What the channel can do, as far as a plan cares; `channels.Capabilities` in our own few words."""

    compare_and_set: bool
    readable: bool
    gross: bool = False


def plan(
    listings: Iterable[Listing],
    available: Mapping[str, int | None],
    means: Means,
    *,
    now: datetime,
    fresh: Collection[str] = (),
    frozen: Collection[str] = (),
    placed: Mapping[Ref, int | None] = MappingProxyType({}),
) -> Plan:
    """Sort one channel's listings by what has to be done next.

    `available` is in units by SKU (a kit's too); a SKU that is missing or None has no count. `fresh` are the SKUs whose
    raise gate is open (`gate_open`), `frozen` those being counted (C7). `placed` is what listings that are a SKU at one
    of the channel's places have there (P8).
    """
    steps = []
    for listing in listings:
        units = available.get(listing.sku) if listing.sku is not None else None
        units = placed.get(listing.ref, units)
        view = View(listing, units, fresh=listing.sku in fresh, gross=means.gross, frozen=listing.sku in frozen)
        step = _step(view, means, now)
        if step is not None:
            steps.append(step)
    steps.sort(key=_urgency)
    of = {action: tuple(s for s in steps if s.action is action) for action in Action}
    return Plan(of[Action.LOWER], of[Action.LOOK], of[Action.RAISE], of[Action.LEAVE])


def _step(view: View, means: Means, now: datetime) -> Step | None:
    listing, want, expect = view.listing, wanted(view), expected(view.listing)
    if listing.pending_job:
        expect = min(figure for figure, _ in pending(listing))  # the least that it may show when all is through
    if want is not None and want == expect:
        return None
    obstacle = _obstacle(view, now, want)
    if obstacle:
        action, why = Action.LEAVE, obstacle
    elif want is not None and expect is not None and want < expect:
        # What we would overwrite without compare-and-set, or which reservations to add, only a look can tell (P3, P9).
        blind = not means.readable or (means.compare_and_set and not means.gross)
        action, why = (Action.LOWER, "lower") if blind else (Action.LOOK, "lower: what does it show now?")
    elif means.readable and expect is None:
        action, why = Action.LOOK, "unknown what it shows"
    elif listing.paused or view.frozen:
        action, why = Action.LEAVE, "paused: not raised" if listing.paused else "being counted: not raised"
    elif means.readable:
        action, why = Action.LOOK, "raise"
    elif view.fresh:
        action, why = Action.RAISE, "raise"
    else:
        action, why = Action.LEAVE, "a raise waits until the channel's orders are read"
    return Step(action, listing, view.available, want, expect, why)


def _obstacle(view: View, now: datetime, want: int | None) -> str:
    """Why nothing can be written on the listing, whatever the figure; "" where nothing stands in the way."""
    listing = view.listing
    if listing.sku is None:
        return "not matched to a SKU"
    if not listing.pushable:
        return listing.why_not or "the channel does not take a figure for it"
    if view.available is None:
        return "the SKU has no count yet"
    if listing.pending_job and not (want is not None and want < min(figure for figure, _ in pending(listing))):
        return "the channel has not answered the last write yet"
    if listing.retry_at is not None and now < listing.retry_at:
        return listing.error or "the channel asked us to wait"
    return ""


def lowers(step: Step) -> bool:
    """Whether this listing has to come down, as far as we know what it shows."""
    return step.figure is not None and step.expected is not None and step.figure < step.expected


def may_be_raised(listing: Listing, now: datetime) -> bool:
    """Whether nothing of the listing's own is in the way of a figure above the one that it shows."""
    waits = bool(listing.pending_job) or (listing.retry_at is not None and now < listing.retry_at)
    return listing.sku is not None and listing.pushable and not listing.paused and not waits


def _urgency(step: Step) -> tuple[bool, bool, int, str, tuple[str, ...]]:
    units = 0 if step.available is None else step.available
    return (not lowers(step), step.expected is not None, units, step.listing.sku or "", step.listing.ref)


# what a listing is after something happened to it ---------------------------------------------------------------


def note_taken(
    listing: Listing, change: int, at: datetime | None, allowance: timedelta, *, edited: bool = False
) -> Listing:
    """The listing after its channel took `change` packs off its own figure (-: gave back) at `at` (P1, P2).

    Clearly before `shown_at` (by more than the clock allowance): the figure we know had seen it. A sale clearly after:
    taken. Anything else, and every cancellation, edit and refund after it, leaves unknown what the listing shows.
    """
    if listing.shown is None or listing.shown_at is None or (change == 0 and not edited):
        return listing
    if at is not None and at < listing.shown_at - allowance:
        return listing
    certain = at is not None and at > listing.shown_at + allowance and change > 0 and not edited
    if certain and listing.taken is not None:
        return replace(listing, taken=listing.taken + change)
    return replace(listing, taken=None)


def sending(listing: Listing) -> Listing:
    """To be stored before a write is sent: its attempt has a number of its own, for the idempotency key. What it showed
    before the first one is kept, for an undone Start (B6).
    """
    before = listing.before if listing.before is not None else expected(listing)
    return replace(listing, attempts=listing.attempts + 1, before=listing.shown if before is None else before)


def acknowledge(listing: Listing, figure: int, at: datetime, *, sent: Listing | None = None) -> Listing:
    """The channel says that it shows `figure` now. `at` is when the answer came.

    `sent` is the listing as it was stored when the write was sent. A sale noted since may lie on either side of the
    write, and where `taken` was unknown then nobody can tell whether one was: the next look will. None: a channel that
    can't be read, or one that is told of no sale between.
    """
    certain = sent is None or (sent.taken is not None and sent.taken == listing.taken)
    certain = certain and not listing.pending_job  # an earlier write may still come through, and win
    return replace(_settled(listing, figure, at, certain), error="", retry_at=None)


def seen(
    listing: Listing, figure: int | None, reserved: int, at: datetime, *, before: Listing | None = None
) -> Listing:
    """The listing after a look begun at `at` that read `figure` (None: there is none) and `reserved`.

    `before` is the listing as it was when the look began: a sale noted during the look may lie on either side of it.
    Errors stay until a write succeeds.
    """
    certain = before is None or before.taken == listing.taken
    return replace(_settled(listing, figure, at, certain), reserved=reserved)


def _settled(listing: Listing, figure: int | None, at: datetime, certain: bool) -> Listing:
    return replace(listing, shown=figure, shown_at=at, taken=0 if certain else None)


def accepted(listing: Listing, job: str, figure: int) -> Listing:
    """The channel took the write of `figure` and will say later what became of it: until then nobody knows what it
    shows. It may have taken others before that it has not said anything of.
    """
    waits = (*pending(listing), (figure, job))
    return replace(listing, pending_job=_together(waits), taken=None, error="", retry_at=None)


def pending(listing: Listing) -> tuple[tuple[int, str], ...]:
    """The writes that the channel took and has said nothing of yet: figure and job, the oldest first."""
    parts = (line.partition(" ") for line in listing.pending_job.splitlines())
    return tuple((int(figure), job) for figure, _, job in parts)


def answered(listing: Listing, job: str) -> Listing:
    """The listing when a job has come to an end, whatever the end was."""
    return replace(listing, pending_job=_together(waits for waits in pending(listing) if waits[1] != job))


def read_back(listing: Listing, figure: int | None, at: datetime) -> Listing:
    """The listing after a write was found to be through: `figure` is what it showed at `at`.

    While others are still under way, or where the figure was not told, nobody knows what it shows.
    """
    if figure is None or listing.pending_job:
        return replace(listing, taken=None, error="", retry_at=None)
    return replace(_settled(listing, figure, at, True), error="", retry_at=None)


def _together(waits: Iterable[tuple[int, str]]) -> str:
    return "\n".join(f"{figure} {job}" for figure, job in waits)


def stale(listing: Listing) -> Listing:
    """A compare-and-set found another figure than we expected: look again."""
    return replace(listing, taken=None)


def outcome_unknown(listing: Listing) -> Listing:
    """A write was sent and its answer is lost: it may have been applied. Look before anything else."""
    return replace(listing, taken=None)


def refused(listing: Listing, why: str, retry_at: datetime) -> Listing:
    """The channel said no to this listing, for the reason `why`; nothing was written. Tried again at `retry_at`."""
    return replace(listing, error=why, retry_at=retry_at)


def retry_later(listing: Listing, retry_at: datetime, why: str = "") -> Listing:
    """The channel wrote nothing and asks to be called again at `retry_at`."""
    return replace(listing, error=why or listing.error, retry_at=retry_at)
