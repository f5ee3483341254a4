"""Buyers and sellers of the local shops in the same words for every vendor; a clock that tests turn; eyes on the calls.

Order ids are the channel's, as text. Nothing here knows what is right: it only lets people act.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from sheets_sync.sandbox.shops import Running
from sheets_sync.sandbox.shops._common import Answer, Drop, Seen
from sheets_sync.sandbox.shops.shopify import Refunded

Fault = Callable[[Seen], Answer | Drop | None]
DEADLINE = 20.0  # seconds that a test waits for what must come


class Clock:
    """Begins on a day in March, goes as fast as ours, and forward when told: shops give points back by it."""

    def __init__(self, at: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)) -> None:
        self._at, self._began = at, time.monotonic()

    def __call__(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._began)

    def tick(self, **how: float) -> None:
        """Time goes by: `tick(minutes=10)`."""
        self._at += timedelta(**how)


@dataclass
class Hands(ABC):
    """One local shop's buyers, sellers and bad luck."""

    running: Running
    vendor = ""
    compare_and_set = False
    takes_unpaid = False  # its figure falls when something is ordered, paid or not

    @property
    def shop(self) -> Any:
        return self.running.shop

    def figure(self, sku: str) -> int | None:
        """What the shop shows."""
        shown: int | None = self.shop.figure(sku)
        return shown

    def set_figure(self, sku: str, figure: int) -> None:
        """As someone types it in the shop's own pages."""
        self.shop.set_figure(sku, figure)

    @abstractmethod
    def buy(self, sku: str, units: int = 1, *, paid: bool = True) -> str: ...

    def pay(self, order: str) -> None:
        self.shop.pay(int(order))

    def ship(self, order: str) -> None:
        """All of it."""
        self.shop.ship(int(order))

    def cancel(self, order: str) -> None:
        """Called off before it was shipped; the shop puts the units back."""
        self.shop.cancel(int(order))

    @abstractmethod
    def refund(self, order: str, sku: str, units: int, *, restock: bool = True) -> None:
        """Units of a shipped order come back; the shop puts them back on its shelf, or does not say so."""

    @abstractmethod
    def edit(self, order: str, sku: str, units: int) -> None:
        """The seller changes how many are ordered."""

    @abstractmethod
    def delete(self, order: str) -> None:
        """Trashed or deleted: the shop gives nothing back."""

    @abstractmethod
    def settle(self) -> None:
        """Wait until every delivery that can go out has gone out."""

    # what passes over the wire

    @abstractmethod
    def is_write(self, seen: Seen) -> bool:
        """Whether a request writes figures."""

    @abstractmethod
    def is_look(self, seen: Seen) -> bool:
        """Whether it reads the figures of listings that it names."""

    @abstractmethod
    def is_orders(self, seen: Seen) -> bool:
        """Whether it reads the list of orders."""

    @abstractmethod
    def is_catalogue(self, seen: Seen) -> bool:
        """Whether it reads the list of listings."""

    @contextmanager
    def watched(self, fault: Fault = lambda seen: None) -> Iterator[list[Seen]]:
        """Every request meanwhile; each is given to `fault` first."""
        calls: list[Seen] = []

        def hook(seen: Seen) -> Answer | Drop | None:
            calls.append(seen)
            return fault(seen)

        self.running.middleware = hook
        try:
            yield calls
        finally:
            self.running.middleware = None

    @contextmanager
    def away(self) -> Iterator[list[Seen]]:
        """Nobody answers."""
        with self.watched(lambda seen: Answer(503)) as calls:
            yield calls

    def repeat(self, seen: Seen) -> Answer:
        """The answer that the shop gives to a request now, to be given again later."""
        hook, self.running.middleware = self.running.middleware, None
        try:
            url = f"{self.running.base_url}{seen.path}" + (f"?{seen.query}" if seen.query else "")
            headers = {**seen.headers, "Content-Type": "application/json"}
            answer = requests.request(seen.method, url, headers=headers, data=seen.body, timeout=DEADLINE)
        finally:
            self.running.middleware = hook
        return Answer(answer.status_code, {"Content-Type": answer.headers["Content-Type"]}, answer.content)


class Shopify(Hands):
    """It has compare-and-set, and takes units off when they are ordered."""

    vendor, compare_and_set, takes_unpaid = "shopify", True, True

    def buy(self, sku: str, units: int = 1, *, paid: bool = True) -> str:
        return str(self.shop.buy(sku, units, paid=paid)["id"])

    def refund(self, order: str, sku: str, units: int, *, restock: bool = True) -> None:
        part = Refunded(self._line(order, sku), units, "RETURN" if restock else "NO_RESTOCK")
        self.shop.refund(int(order), [part], returned=True)

    def edit(self, order: str, sku: str, units: int) -> None:
        self.shop.edit(int(order), self._line(order, sku), units)

    def delete(self, order: str) -> None:
        self.shop.delete_order(int(order))

    def settle(self) -> None:
        assert self.shop.courier.wait_idle(DEADLINE)

    def _line(self, order: str, sku: str) -> int:
        return int(next(line["id"] for line in self.shop.order(int(order))["lines"] if line["sku"] == sku))

    def is_write(self, seen: Seen) -> bool:
        return b"mutation SetFigures" in seen.body

    def is_look(self, seen: Seen) -> bool:
        return b"query Figures" in seen.body

    def is_orders(self, seen: Seen) -> bool:
        return b"query Orders" in seen.body

    def is_catalogue(self, seen: Seen) -> bool:
        return b"query Listings" in seen.body


class WooCommerce(Hands):
    """It has no compare-and-set, and takes units off when they are paid."""

    vendor, compare_and_set = "woocommerce", False

    def buy(self, sku: str, units: int = 1, *, paid: bool = True) -> str:
        return str(self.shop.buy(sku, units, pay=paid))

    def refund(self, order: str, sku: str, units: int, *, restock: bool = True) -> None:
        self.shop.refund(int(order), {sku: units}, restock=restock)

    def edit(self, order: str, sku: str, units: int) -> None:
        self.shop.set_quantity(int(order), sku, units)

    def delete(self, order: str) -> None:
        self.shop.trash(int(order))

    def settle(self) -> None:
        assert self.shop.wait_delivered(DEADLINE)

    def is_write(self, seen: Seen) -> bool:
        return seen.method == "POST" and seen.path.endswith("/batch")

    def is_look(self, seen: Seen) -> bool:
        return seen.method == "GET" and "include=" in seen.query

    def is_orders(self, seen: Seen) -> bool:
        return seen.method == "GET" and seen.path.endswith("/orders")

    def is_catalogue(self, seen: Seen) -> bool:
        return seen.method == "GET" and seen.path.endswith("/products") and "include=" not in seen.query


class Amazon(Hands):
    """It takes units off when they are ordered, and gives back only what the buyer cancels in time."""

    vendor, compare_and_set, takes_unpaid = "amazon", False, True

    def buy(self, sku: str, units: int = 1, *, paid: bool = True) -> str:
        return str(self.shop.buy(sku, units, paid=paid))

    def pay(self, order: str) -> None:
        self.shop.pay(order)

    def ship(self, order: str) -> None:
        self.shop.ship(order)

    def cancel(self, order: str) -> None:
        self.shop.cancel(order)

    def cancel_late(self, order: str, reason: str = "No Inventory") -> None:
        """As the seller: the marketplace gives nothing back."""
        self.shop.seller_cancels(order, reason)

    def refund(self, order: str, sku: str, units: int, *, restock: bool = True) -> None:
        """Sent back by the buyer: the marketplace never restocks."""
        self.shop.returns(order, {sku: units})

    def edit(self, order: str, sku: str, units: int) -> None:
        raise NotImplementedError("no seller edits an order on Amazon")

    def delete(self, order: str) -> None:
        raise NotImplementedError("no seller deletes an order on Amazon")

    def settle(self) -> None:
        assert self.shop.wait_delivered(DEADLINE)

    def is_write(self, seen: Seen) -> bool:
        return seen.method == "PATCH" or (seen.method == "POST" and seen.path.endswith("/feeds"))

    def is_look(self, seen: Seen) -> bool:
        return seen.method == "GET" and seen.path.startswith("/listings/") and "identifiers=" in seen.query

    def is_orders(self, seen: Seen) -> bool:
        return seen.method == "GET" and seen.path.endswith("/2026-01-01/orders")

    def is_catalogue(self, seen: Seen) -> bool:
        return seen.method == "GET" and seen.path.startswith("/listings/") and "identifiers=" not in seen.query


VENDORS = ("shopify", "woocommerce")


def hands_of(running: Running) -> Hands:
    return {"amazon": Amazon, "shopify": Shopify, "woocommerce": WooCommerce}[running.name](running)


def once(act: Callable[[], object], wanted: Callable[[Seen], bool]) -> Fault:
    """Someone acts just before the first request that is `wanted`; it is answered as ever."""
    left = [act]

    def fault(seen: Seen) -> None:
        if left and wanted(seen):
            left.pop()()

    return fault
