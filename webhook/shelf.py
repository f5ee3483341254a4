"""`Shelf.store(delivery)`: what waits to be stored together is stored in one transaction.

A commit is a wait for the disk, and ten deliveries in one take hardly longer than one. Nobody waits for a group to
fill: whoever finds the shelf free stores all that is waiting, and those who came meanwhile are the next group.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from sheets_sync.errors import SheetsSyncError, Unavailable
from sheets_sync.model import StoredDelivery

if TYPE_CHECKING:
    from sheets_sync.ledger import Ledger

Waiting = tuple[StoredDelivery, "Future[bool]"]


class Shelf:
    """Stores deliveries for many threads at once. Holds no thread and nothing to close."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[Waiting] = []
        self._adding = threading.Lock()
        self._storing = threading.Lock()

    def store(self, delivery: StoredDelivery) -> bool:
        """Durable when this returns; False: it was there already. Raises what the ledger raises."""
        stored: Future[bool] = Future()
        with self._adding:
            self._waiting.append((delivery, stored))
        with self._storing:
            if not stored.done():  # else those before us stored ours with theirs
                self._store_all()
        return stored.result()

    def _store_all(self) -> None:
        with self._adding:
            group, self._waiting = self._waiting, []
        try:
            if len(group) == 1 or not self._store(group):
                for one in group:
                    self._store([one])
        finally:
            for _, stored in group:
                if not stored.done():  # a bug, raised in this thread; the others must not wait for ever
                    stored.set_exception(Unavailable("it could not be stored with those that came with it"))

    def _store(self, group: list[Waiting]) -> bool:
        """All or none of a group. Where it fails, each is tried alone: one must not spoil the others."""
        try:
            with self._ledger.begin() as tx:
                new = [tx.store_delivery(delivery) for delivery, _ in group]
        except (SheetsSyncError, SQLAlchemyError) as error:
            if len(group) == 1:
                group[0][1].set_exception(error)
            return False
        for (_, stored), is_new in zip(group, new, strict=True):
            stored.set_result(is_new)
        return True
