"""`pull`: deliveries that wait in a queue are stored as if they had been posted, and only then taken off the queue.

A queue is a shorter way to know, not the only one: where it cannot be read, the pass goes on, and the orders are read
by themselves. What comes twice is known by its id.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from sheets_sync.channels import Channel, Pulled, Pulls
from sheets_sync.desk import Desk, remember
from sheets_sync.errors import CredentialsRefused, OtherSide
from sheets_sync.model import Lease, StoredDelivery

log = structlog.get_logger()

MOST_ROUNDS = 50
"""Reads of the queue in one pass: a flood must not keep the pass from its work."""


def pull(desk: Desk, channel: Channel, lease: Lease | None) -> int:
    """Store what waits for a channel; how many deliveries were new. Nothing for a channel without a queue."""
    if not isinstance(channel, Pulls):
        return 0
    new = 0
    try:
        for _ in range(MOST_ROUNDS):
            found = channel.pull()
            if not found:
                break
            new += _store(desk, channel.name, found, lease)
            channel.pulled([one.receipt for one in found])
    except CredentialsRefused as error:
        _say(desk, channel.name, error, lease)
    except OtherSide as error:
        log.warning("queue.away", channel=channel.name, why=str(error)[:200])
    return new


def _store(desk: Desk, name: str, found: Sequence[Pulled], lease: Lease | None) -> int:
    now = desk.clock()
    told = [one.delivery for one in found if one.delivery is not None]
    with desk.ledger.begin(lease) as tx:
        new = [tx.store_delivery(StoredDelivery(name, d.id, d.topic, {}, d.kept or b"", now)) for d in told]
    log.info("queue.read", channel=name, messages=len(found), new=sum(new))
    return sum(new)


def _say(desk: Desk, name: str, error: Exception, lease: Lease | None) -> None:
    """Only a person can mend it, so it is shown; the orders are read all the same."""
    log.warning("queue.refused", channel=name, why=str(error)[:200])
    with desk.ledger.begin(lease) as tx:
        remember(tx, name, last_error=str(error)[:300])
