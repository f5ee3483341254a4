"""What became of figures that a channel only accepted: `ask` asks for each job, and settles its listings.

Accepted is not applied. A listing keeps what it waits for until the channel says, or a look shows, that it came to an
end; meanwhile it is lowered as ever, and not raised. A figure that is read back is a look like any other: what was sold
before it is in it, whatever the write did to a sale that slipped in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sheets_sync import offers
from sheets_sync.channels import Channel, Outcome, PushResult
from sheets_sync.desk import Desk, remember
from sheets_sync.errors import ChannelRefused, RateLimited, Unavailable
from sheets_sync.model import Lease, Listing, Ref

log = structlog.get_logger()

AGAIN = timedelta(seconds=15)
"""How soon a pass asks again for what has not been answered."""

REFUSED_FOR = timedelta(minutes=10)
RETRY_AFTER = timedelta(seconds=30)


@dataclass(frozen=True)
class Answer:
    """What a channel says of one job. `at`: when it was asked, which is when the figures it gives were so."""

    job: str
    at: datetime
    results: Sequence[PushResult] = ()
    refused: str = ""  # none of it was done, and why

    def of(self, ref: Ref) -> PushResult:
        """What it says of one listing. What it does not name came to an end, and has to be looked at."""
        if self.refused:
            return PushResult(ref, Outcome.REFUSED, why=self.refused)
        named = (r for r in self.results if r.ref.listing == ref.listing and r.ref.place in ("", ref.place))
        return next(named, PushResult(ref, Outcome.UNKNOWN))


def ask(desk: Desk, channel: Channel, listings: Iterable[Listing], lease: Lease | None) -> bool:
    """Ask what became of all that these listings wait for. Whether some of it is still to come."""
    waiting = [item for item in listings if item.pending_job]
    jobs = dict.fromkeys(job for item in waiting for _, job in offers.pending(item))
    answers = [answer for job in jobs if (answer := _asked(desk, channel, job)) is not None]
    if answers:
        _settle(desk, channel.name, {item.ref for item in waiting}, answers, lease)
    return bool(waiting)


def _asked(desk: Desk, channel: Channel, job: str) -> Answer | None:
    """None: it is still running, or the channel cannot say just now."""
    at = desk.clock()
    try:
        results = channel.results(job)
    except ChannelRefused as error:
        return Answer(job, at, refused=str(error))
    except (RateLimited, Unavailable) as error:
        log.info("push.not_asked", channel=channel.name, why=str(error)[:200])
        return None
    return None if results is None else Answer(job, at, results)


def _settle(desk: Desk, name: str, refs: set[Ref], answers: Sequence[Answer], lease: Lease | None) -> None:
    now = desk.clock()
    with desk.ledger.begin(lease) as tx:
        tx.lock_listings(name)
        stored = [item for item in tx.listings(name, ids={ref.listing for ref in refs}) if item.ref in refs]
        after = [_after_all(item, answers, now) for item in stored]
        tx.put_listings(item for item, before in zip(after, stored, strict=True) if item != before)
        if any(not item.pending_job and not item.error for item in after):
            remember(tx, name, last_push=now)
        errors = [f"{item.sku}: {item.error}" for item in after if item.error]
        if errors:
            remember(tx, name, last_error=errors[0][:300])
    desk.wake("sheet")


def _after_all(item: Listing, answers: Sequence[Answer], now: datetime) -> Listing:
    for answer in answers:
        if any(job == answer.job for _, job in offers.pending(item)):
            item = after(item, answer, now)
    return item


def after(item: Listing, answer: Answer, now: datetime) -> Listing:
    """A listing after the answer to one of the writes that it waits for."""
    result = answer.of(item.ref)
    log.info("push.answered", channel=item.channel, sku=item.sku, outcome=result.outcome, why=result.why)
    match result.outcome:
        case Outcome.ACCEPTED:
            return item
        case Outcome.APPLIED:
            item = offers.answered(item, answer.job)
            return offers.read_back(item, result.actual, answer.at)
        case Outcome.REFUSED:
            return offers.refused(offers.stale(offers.answered(item, answer.job)), result.why, now + REFUSED_FOR)
        case Outcome.RETRY:
            wait = RETRY_AFTER if result.retry_after is None else timedelta(seconds=result.retry_after)
            return offers.retry_later(offers.stale(offers.answered(item, answer.job)), now + wait, result.why)
        case Outcome.STALE | Outcome.UNKNOWN:
            return offers.outcome_unknown(offers.answered(item, answer.job))
