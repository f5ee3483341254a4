"""How Amazon keeps a seller's stock: one figure a SKU, taken off as an order is placed, rarely given back.

The figure (`fulfillmentAvailability`, DEFAULT) is shared by all marketplaces of the account. It falls the moment a
buyer orders, before the payment is verified. It rises again where the buyer cancels in time or the payment fails; what
the seller, or Amazon in the seller's stead, cancels later gives nothing back, nor does a return. Much happens by itself
as time passes: payments are verified, submissions are applied, late orders are cancelled. `Pace` says how long each
takes, `Unknowns` what nobody outside Amazon has seen for certain; a rehearsal may choose either answer.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sheets_sync.sandbox.shops._common import Clock, Seed, ShopRefuses, Store

SELLER_CHANNEL = "DEFAULT"
"""The fulfilment channel code of what the seller ships; any other is one of Amazon's own networks."""

WINDOW = timedelta(minutes=30)
WINDOW_JAPAN = timedelta(minutes=5)
JAPAN = "A1VC38T7YXB528"
SHIP_WITHIN = timedelta(days=2)
LATE = timedelta(days=7)
"""An order that is not shipped this long after its last ship date is cancelled by Amazon."""

OPEN = frozenset({"PENDING_AVAILABILITY", "PENDING", "UNSHIPPED", "PARTIALLY_SHIPPED"})
UNPAID = frozenset({"PENDING_AVAILABILITY", "PENDING"})

SCHEMA = """
CREATE TABLE IF NOT EXISTS listing (
  sku TEXT PRIMARY KEY, title TEXT NOT NULL, asin TEXT NOT NULL, product_type TEXT NOT NULL, price TEXT NOT NULL,
  channel TEXT NOT NULL, quantity INTEGER, marketplaces TEXT NOT NULL, parent TEXT NOT NULL DEFAULT '',
  attributes TEXT NOT NULL DEFAULT '{}', fba_units INTEGER NOT NULL DEFAULT 0,
  patched TEXT NOT NULL DEFAULT '', apart TEXT NOT NULL DEFAULT '{}',
  created TEXT NOT NULL, updated TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS listing_updated ON listing (updated);
CREATE TABLE IF NOT EXISTS submission (
  id INTEGER PRIMARY KEY AUTOINCREMENT, due TEXT NOT NULL, sku TEXT NOT NULL, patches TEXT NOT NULL,
  marketplaces TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS purchase (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, status TEXT NOT NULL, marketplace TEXT NOT NULL, channel TEXT NOT NULL,
  created TEXT NOT NULL, updated TEXT NOT NULL, due TEXT, ship_by TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS purchase_updated ON purchase (updated);
CREATE INDEX IF NOT EXISTS purchase_open ON purchase (status, due);
CREATE TABLE IF NOT EXISTS item (
  id TEXT PRIMARY KEY, purchase TEXT NOT NULL REFERENCES purchase ON DELETE CASCADE, sku TEXT NOT NULL,
  title TEXT NOT NULL, asin TEXT NOT NULL, price TEXT NOT NULL, ordered INTEGER NOT NULL,
  shipped INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0, returned INTEGER NOT NULL DEFAULT 0,
  request TEXT, cancelled_by TEXT, cancel_reason TEXT);
CREATE INDEX IF NOT EXISTS item_purchase ON item (purchase);
CREATE TABLE IF NOT EXISTS package (
  id INTEGER PRIMARY KEY AUTOINCREMENT, purchase TEXT NOT NULL REFERENCES purchase ON DELETE CASCADE,
  at TEXT NOT NULL, items TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS returned (
  id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL REFERENCES item ON DELETE CASCADE, units INTEGER NOT NULL,
  at TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS document (
  id TEXT PRIMARY KEY, key TEXT NOT NULL, expires TEXT NOT NULL, content_type TEXT NOT NULL, content BLOB);
CREATE TABLE IF NOT EXISTS job (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, type TEXT NOT NULL, marketplaces TEXT NOT NULL,
  input TEXT NOT NULL DEFAULT '', status TEXT NOT NULL, created TEXT NOT NULL, starts TEXT NOT NULL,
  ends TEXT NOT NULL, result TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS job_ends ON job (status, ends);
CREATE TABLE IF NOT EXISTS destination (id TEXT PRIMARY KEY, name TEXT NOT NULL, resource TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS subscription (
  id TEXT PRIMARY KEY, type TEXT NOT NULL UNIQUE, version TEXT NOT NULL, destination TEXT NOT NULL,
  directive TEXT NOT NULL DEFAULT 'null');
CREATE TABLE IF NOT EXISTS target (
  source TEXT PRIMARY KEY, url TEXT NOT NULL, header TEXT NOT NULL, key TEXT NOT NULL, bare INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS message (
  id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, body TEXT NOT NULL, queued TEXT NOT NULL,
  due TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, receipt TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS message_due ON message (source, due);
CREATE TABLE IF NOT EXISTS token (token TEXT PRIMARY KEY, scope TEXT NOT NULL, expires TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Marketplace:
    """One of Amazon's shops."""

    id: str
    name: str
    country: str
    currency: str
    language: str


MARKETPLACES: Mapping[str, Marketplace] = {
    m.id: m
    for m in (
        Marketplace("A1F83G8C2ARO7P", "Amazon.co.uk", "GB", "GBP", "en_GB"),
        Marketplace("A1PA6795UKMFR9", "Amazon.de", "DE", "EUR", "de_DE"),
        Marketplace("A13V1IB3VIYZZH", "Amazon.fr", "FR", "EUR", "fr_FR"),
        Marketplace("ATVPDKIKX0DER", "Amazon.com", "US", "USD", "en_US"),
        Marketplace("A2EUQ1WTGCTBG2", "Amazon.ca", "CA", "CAD", "en_CA"),
        Marketplace(JAPAN, "Amazon.co.jp", "JP", "JPY", "ja_JP"),
    )
}


@dataclass(frozen=True)
class Pace:
    """How long Amazon takes for what it does by itself."""

    payment: timedelta = timedelta(seconds=20)
    """An order is PENDING this long."""

    listing: timedelta = timedelta(seconds=4)
    """From a listing's ACCEPTED until it is applied."""

    feed_waits: timedelta = timedelta(seconds=5)
    """A feed or report is IN_QUEUE this long."""

    feed_works: timedelta = timedelta(seconds=10)
    """It is IN_PROGRESS this long."""

    order_list: timedelta = timedelta(minutes=2)
    """The list of orders runs this late; its `lastUpdatedBefore` says so. A single order is told as it is."""

    @classmethod
    def at_once(cls) -> Pace:
        """Nothing takes time."""
        zero = timedelta(0)
        return cls(zero, zero, zero, zero, zero)


@dataclass(frozen=True)
class Unknowns:
    """What is said in several ways about Amazon, or not at all. The defaults are what a careful seller assumes."""

    seller_cancellation_gives_back: bool = False
    """Old seller support: given back, unless the reason is `No Inventory`."""

    cancelled_orders_nothing: bool = False
    """A cancelled line's `quantityOrdered` becomes 0, as it did in Orders v0."""

    pending_unfulfilled: str = "zero"
    """`quantityUnfulfilled` while PENDING: "zero", "absent" or "all"."""

    tells_pending: bool = True
    """ORDER_CHANGE goes out for a new order that is still PENDING."""

    each_type_to_one_service: bool = False
    """A notification type goes either to queues or to EventBridge, as Amazon's pages say; else to both."""

    feeds_overtake: bool = False
    """A feed submitted before a PATCH of the same SKU, and done after it, still wins."""

    a_figure_for_each_marketplace: bool = False
    """The marketplaces of an account do not share the figure of a SKU: each is set, and sells, by itself."""

    report_charset: str = "utf-8"
    """How reports are encoded; Europe and America are said to have had cp1252, Japan cp932."""


@dataclass(frozen=True)
class Wanted:
    """A line of an order that is being placed."""

    sku: str
    units: int


Told = Callable[[sqlite3.Connection, str, Mapping[str, Any]], None]
"""Who hears of changes: the database, the notification type, what it is about."""


class NotFound(ShopRefuses):
    """No such listing or order."""


class Shop:
    """One seller's account; thread-safe. Every public method is one transaction.

    Orders are named by Amazon's order id (text), listings by SKU. What is due by time is done at the beginning of every
    transaction, so a clock that a test turns needs no waiting; `advance` does it when asked.
    """

    vendor = "Amazon"

    def __init__(self, store: Store, clock: Clock, display_name: str, marketplaces: Sequence[str], seller: str) -> None:
        self.store, self.clock, self.display_name = store, clock, display_name
        self.marketplaces, self.seller = tuple(marketplaces), seller
        self.pace, self.unknowns = Pace(), Unknowns()
        self.told: Told = lambda db, kind, about: None
        self.wake: Callable[[], None] = lambda: None
        self.finish_job: Callable[[sqlite3.Connection, sqlite3.Row], None] = lambda db, job: None
        self._advancing = threading.local()

    # time -------------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock().astimezone(UTC)

    def stamp(self, after: timedelta = timedelta(0)) -> str:
        """The shop's time, to the microsecond, as it stores it."""
        return stored(self.now() + after)

    def advance(self) -> None:
        """Do what is due by now."""
        with self.store.transaction() as db:
            self.catch_up(db)

    def catch_up(self, db: sqlite3.Connection) -> None:
        """What is due, in the order in which it was due."""
        if getattr(self._advancing, "now", False):
            return
        self._advancing.now = True
        try:
            while (due := self._next_due(db)) is not None and due[0] <= self.stamp():
                self._do(db, due[1], due[2])
        finally:
            self._advancing.now = False

    def next_due(self) -> float | None:
        """Seconds until something happens by itself; None: nothing will."""
        with self.store.transaction() as db:
            due = self._next_due(db)
        return None if due is None else max((loaded(due[0]) - self.now()).total_seconds(), 0.0)

    def _next_due(self, db: sqlite3.Connection) -> tuple[str, str, str] | None:
        row = db.execute(
            "SELECT due, what, id FROM ("
            " SELECT due, 'submission' AS what, id FROM submission"
            " UNION ALL SELECT due, 'purchase', id FROM purchase WHERE due IS NOT NULL"
            " UNION ALL SELECT starts, 'start', id FROM job WHERE status = 'IN_QUEUE'"
            " UNION ALL SELECT ends, 'end', id FROM job WHERE status = 'IN_PROGRESS'"
            ") ORDER BY due, what LIMIT 1"
        ).fetchone()
        return None if row is None else (str(row["due"]), str(row["what"]), str(row["id"]))

    def _do(self, db: sqlite3.Connection, what: str, id: str) -> None:
        if what == "submission":
            row = db.execute("SELECT * FROM submission WHERE id = ?", (id,)).fetchone()
            db.execute("DELETE FROM submission WHERE id = ?", (id,))
            self.patch(db, row["sku"], json.loads(row["patches"]), json.loads(row["marketplaces"]))
        elif what == "start":
            db.execute("UPDATE job SET status = 'IN_PROGRESS' WHERE id = ?", (id,))
        elif what == "end":
            self.finish_job(db, db.execute("SELECT * FROM job WHERE id = ?", (id,)).fetchone())
        else:
            self._order_due(db, self.purchase(db, id))

    def _order_due(self, db: sqlite3.Connection, row: sqlite3.Row) -> None:
        if row["status"] == "PENDING":
            self._paid(db, row, str(row["due"]))
        elif row["channel"] != SELLER_CHANNEL:
            self._ship(db, row, None, str(row["due"]))
        else:
            self._cancel(db, row, "AMAZON", "The order was not shipped in time", gives_back=False, at=row["due"])

    # listings ---------------------------------------------------------------------------------------------------

    def add_product(
        self,
        sku: str,
        title: str,
        stock: int | None = 0,
        *,
        price: str = "10.00",
        variant_of: str = "",
        fba: int | None = None,
        marketplaces: Sequence[str] = (),
        product_type: str = "HOME",
    ) -> str:
        """A listing; its ASIN. `fba` units lie in Amazon's warehouses: the listing is fulfilled from there."""
        now = self.stamp()
        channel = SELLER_CHANNEL if fba is None else self.network
        with self.store.transaction() as db:
            self.catch_up(db)
            parent = self._parent(db, variant_of) if variant_of else ""
            asin = asin_of(sku)
            db.execute(
                "INSERT INTO listing (sku, title, asin, product_type, price, channel, quantity, marketplaces, parent,"
                " fba_units, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (sku, f"{variant_of}, {title}" if variant_of else title, asin, product_type, price, channel,
                 stock if fba is None else None, json.dumps(list(marketplaces or self.marketplaces)), parent,
                 fba or 0, now, now),
            )  # fmt: skip
        return asin

    def _parent(self, db: sqlite3.Connection, title: str) -> str:
        """The listing that holds variations together: it is shown, and cannot be bought."""
        sku = f"{title} (parent)"
        if db.execute("SELECT 1 FROM listing WHERE sku = ?", (sku,)).fetchone() is None:
            now = self.stamp()
            db.execute(
                "INSERT INTO listing (sku, title, asin, product_type, price, channel, quantity, marketplaces, created,"
                " updated) VALUES (?, ?, ?, 'HOME', '', '', NULL, ?, ?, ?)",
                (sku, title, asin_of(sku), json.dumps(self.marketplaces), now, now),
            )
        return sku

    @property
    def network(self) -> str:
        """The fulfilment channel code of Amazon's own warehouses in this region."""
        country = MARKETPLACES[self.marketplaces[0]].country
        return {"US": "AMAZON_NA", "CA": "AMAZON_NA", "JP": "AMAZON_JP"}.get(country, "AMAZON_EU")

    def seed(self, products: Iterable[Seed]) -> None:
        """Fill an empty account; one that has listings already is left as it is."""
        with self.store.transaction() as db:
            if db.execute("SELECT 1 FROM listing LIMIT 1").fetchone():
                return
            for p in products:
                self.add_product(p.sku, p.title, p.stock, price=p.price, variant_of=p.variant_of)

    def listing(self, db: sqlite3.Connection, sku: str) -> sqlite3.Row:
        row = db.execute("SELECT * FROM listing WHERE sku = ?", (sku,)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise NotFound(f"there is no listing with the SKU '{sku}'")
        return row

    def figure(self, sku: str, marketplace: str = "") -> int | None:
        """What may be bought of a SKU that the seller ships; None where Amazon ships it, or no figure was set."""
        with self.store.transaction() as db:
            self.catch_up(db)
            return self.quantity(self.listing(db, sku), [marketplace] if marketplace else self.marketplaces)

    def quantity(self, row: sqlite3.Row, marketplaces: Sequence[str]) -> int | None:
        """The figure as these marketplaces have it; where each has its own, that of the first."""
        if self.unknowns.a_figure_for_each_marketplace:
            apart = json.loads(row["apart"])
            found = next((apart[m] for m in marketplaces if m in apart), row["quantity"])
        else:
            found = row["quantity"]
        return None if found is None else int(found)

    def fba_units(self, sku: str) -> int:
        """Units in Amazon's own warehouses."""
        with self.store.transaction() as db:
            self.catch_up(db)
            return int(self.listing(db, sku)["fba_units"])

    def set_figure(self, sku: str, stock: int) -> None:
        """As the seller types it in Seller Central: applied at once."""
        with self.store.transaction() as db:
            self.catch_up(db)
            self.set_quantity(db, sku, stock)

    def set_quantity(
        self, db: sqlite3.Connection, sku: str, quantity: int | None, marketplaces: Sequence[str] = ()
    ) -> None:
        """Set the figure: everywhere, or where each has its own, in these marketplaces."""
        row = self.listing(db, sku)
        before = self.quantity(row, marketplaces or self.marketplaces)
        if marketplaces and self.unknowns.a_figure_for_each_marketplace:
            apart = json.dumps({**json.loads(row["apart"]), **dict.fromkeys(marketplaces, quantity)})
            db.execute("UPDATE listing SET apart = ?, updated = ? WHERE sku = ?", (apart, self.stamp(), sku))
        else:
            db.execute(
                "UPDATE listing SET quantity = ?, apart = '{}', updated = ? WHERE sku = ?",
                (quantity, self.stamp(), sku),
            )
        if before != quantity and quantity is not None:
            self.told(db, "LISTINGS_ITEM_MFN_QUANTITY_CHANGE", {"sku": sku, "quantity": quantity})

    def set_barcode(self, sku: str, barcode: str, kind: str = "ean") -> None:
        """The product identifier that the listing was made with; `kind` as Amazon calls it: ean, upc or gtin."""
        with self.store.transaction() as db:
            row = self.listing(db, sku)
            here = [{"type": kind, "value": barcode, "marketplace_id": m} for m in json.loads(row["marketplaces"])]
            known = {**json.loads(row["attributes"]), "externally_assigned_product_identifier": here}
            db.execute("UPDATE listing SET attributes = ? WHERE sku = ?", (json.dumps(known), sku))

    def delete_product(self, sku: str) -> None:
        with self.store.transaction() as db:
            self.catch_up(db)
            self.listing(db, sku)
            db.execute("DELETE FROM listing WHERE sku = ?", (sku,))

    def submit(
        self,
        db: sqlite3.Connection,
        sku: str,
        patches: Sequence[Mapping[str, Any]],
        marketplaces: Sequence[str],
        due: str,
    ) -> None:
        """Accepted, and applied when it is due."""
        db.execute(
            "INSERT INTO submission (due, sku, patches, marketplaces) VALUES (?, ?, ?, ?)",
            (due, sku, json.dumps(patches), json.dumps(list(marketplaces))),
        )
        self.catch_up(db)
        self.wake()

    def patch(
        self, db: sqlite3.Connection, sku: str, patches: Sequence[Mapping[str, Any]], marketplaces: Sequence[str]
    ) -> None:
        """Apply patches that were found valid. `merge` keeps what it does not name, `replace` wipes it."""
        row = db.execute("SELECT * FROM listing WHERE sku = ?", (sku,)).fetchone()
        if row is None:  # deleted since it was accepted
            return
        attributes = json.loads(row["attributes"])
        for patch in patches:
            name = str(patch["path"]).removeprefix("/attributes/")
            if patch["op"] == "delete":
                attributes.pop(name, None)
            elif name == "fulfillment_availability":
                known = attributes.get(name, [{}])[0] if patch["op"] == "merge" else {}
                attributes[name] = [{**known, **self._set_availability(db, sku, patch["value"][0], marketplaces)}]
            else:
                attributes[name] = patch["value"]
        if "fulfillment_availability" not in attributes:
            self.set_quantity(db, sku, None)
        db.execute(
            "UPDATE listing SET attributes = ?, updated = ? WHERE sku = ?", (json.dumps(attributes), self.stamp(), sku)
        )

    def _set_availability(
        self, db: sqlite3.Connection, sku: str, value: Mapping[str, Any], marketplaces: Sequence[str]
    ) -> dict[str, Any]:
        """Who ships it, and how many there are; what else was said is answered: handling time, restock date."""
        entry = dict(value)
        channel, quantity = entry.pop("fulfillment_channel_code"), entry.pop("quantity", None)
        # a figure for DEFAULT turns an FBA offer into one that the seller ships, and strands what lies at Amazon
        db.execute("UPDATE listing SET channel = ? WHERE sku = ?", (channel, sku))
        if channel != SELLER_CHANNEL:
            self.set_quantity(db, sku, None)
        elif quantity is not None:
            self.set_quantity(db, sku, int(quantity), marketplaces)
        return entry

    # orders -----------------------------------------------------------------------------------------------------

    def buy(self, sku: str, units: int = 1, *, paid: bool = True, marketplace: str = "", preorder: bool = False) -> str:
        """One line. `paid`: the payment is verified already, so the order is not PENDING. The order's id."""
        order = self.place([Wanted(sku, units)], marketplace=marketplace, preorder=preorder)
        if paid and not preorder:
            self.pay(order)
        return order

    def place(self, lines: Sequence[Wanted], *, marketplace: str = "", preorder: bool = False) -> str:
        """A buyer orders: the figure falls now; the order is PENDING until its payment is verified."""
        with self.store.transaction() as db:
            self.catch_up(db)
            rows = [self.listing(db, line.sku) for line in lines]
            channels = {str(row["channel"]) for row in rows}
            if len(channels) != 1 or "" in channels:
                raise ShopRefuses("one order is shipped by one side: the seller, or Amazon")
            for row, line in zip(rows, lines, strict=True):
                self._take(db, row, line.units, marketplace or self.marketplaces[0])
            number = int(db.execute("SELECT coalesce(max(number), 0) + 1 AS n FROM purchase").fetchone()["n"])
            order = f"{202 + number % 5}-{number * 7919 % 10**7:07d}-{number * 104729 % 10**7:07d}"
            now, due = self.stamp(), None if preorder else self.stamp(self.pace.payment)
            db.execute(
                "INSERT INTO purchase VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (order, number, "PENDING_AVAILABILITY" if preorder else "PENDING", marketplace or self.marketplaces[0],
                 channels.pop(), now, now, due, self.stamp(SHIP_WITHIN)),
            )  # fmt: skip
            for index, (row, line) in enumerate(zip(rows, lines, strict=True)):
                db.execute(
                    "INSERT INTO item (id, purchase, sku, title, asin, price, ordered) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (f"{20_000_000_000_000 + number * 100 + index}", order, row["sku"], row["title"], row["asin"],
                     row["price"], line.units),
                )  # fmt: skip
            if self.unknowns.tells_pending:
                self._tell_order(db, order)
            self.catch_up(db)
        self.wake()
        return order

    def _take(self, db: sqlite3.Connection, row: sqlite3.Row, units: int, marketplace: str) -> None:
        seller_ships = row["channel"] == SELLER_CHANNEL
        there = int((self.quantity(row, [marketplace]) if seller_ships else row["fba_units"]) or 0)
        if units < 1:
            raise ShopRefuses("An order is for at least 1 unit.")
        if there < units:
            raise ShopRefuses(f"Only {max(there, 0)} of {row['title']} can be bought.")
        self._move(db, str(row["sku"]), -units, marketplace)

    def _move(self, db: sqlite3.Connection, sku: str, change: int, marketplace: str) -> None:
        row = db.execute("SELECT * FROM listing WHERE sku = ?", (sku,)).fetchone()
        if row is None or row["channel"] == "":
            return
        if row["channel"] == SELLER_CHANNEL:
            self.set_quantity(db, sku, (self.quantity(row, [marketplace]) or 0) + change, [marketplace])
        else:
            db.execute("UPDATE listing SET fba_units = fba_units + ? WHERE sku = ?", (change, sku))

    def pay(self, order: str) -> None:
        """The payment is verified now."""
        with self.store.transaction() as db:
            self.catch_up(db)
            row = self.purchase(db, order)
            if row["status"] in UNPAID:
                self._paid(db, row, self.stamp())

    def release(self, order: str) -> None:
        """A pre-ordered thing is available: its payment is verified from now on."""
        with self.store.transaction() as db:
            self.catch_up(db)
            self._expect(self.purchase(db, order), "PENDING_AVAILABILITY")
            db.execute("UPDATE purchase SET ship_by = ? WHERE id = ?", (self.stamp(SHIP_WITHIN), order))
            self._touch(db, order, "PENDING", self.stamp(), due=self.stamp(self.pace.payment))
            self.catch_up(db)

    def _paid(self, db: sqlite3.Connection, row: sqlite3.Row, at: str) -> None:
        seller_ships = row["channel"] == SELLER_CHANNEL
        due = loaded(row["ship_by"]) + LATE if seller_ships else loaded(at) + timedelta(hours=1)
        self._touch(db, row["id"], "UNSHIPPED", at, due=stored(due))

    def payment_fails(self, order: str) -> None:
        """Amazon cancels what was never paid, and gives the units back."""
        with self.store.transaction() as db:
            self.catch_up(db)
            row = self.purchase(db, order)
            self._expect(row, *UNPAID)
            self._cancel(db, row, "AMAZON", "Payment was not authorized", gives_back=True)

    def ship(self, order: str, units: Mapping[str, int] | None = None) -> None:
        """The seller confirms a package: all that is open, or these units a SKU."""
        with self.store.transaction() as db:
            self.catch_up(db)
            row = self.purchase(db, order)
            self._expect(row, "UNSHIPPED", "PARTIALLY_SHIPPED")
            self._ship(db, row, units, self.stamp())

    def _ship(self, db: sqlite3.Connection, row: sqlite3.Row, units: Mapping[str, int] | None, at: str) -> None:
        packed: dict[str, int] = {}
        for item in self.items(db, row["id"]):
            left = item["ordered"] - item["shipped"] - item["cancelled"]
            sent = left if units is None else units.get(item["sku"], 0)
            if not 0 <= sent <= left:
                raise ShopRefuses(f"{left} of {item['sku']} can be shipped, not {sent}.")
            if sent:
                packed[item["id"]] = sent
                db.execute("UPDATE item SET shipped = shipped + ? WHERE id = ?", (sent, item["id"]))
        if not packed:
            raise ShopRefuses("A package holds at least 1 unit.")
        db.execute("INSERT INTO package (purchase, at, items) VALUES (?, ?, ?)", (row["id"], at, json.dumps(packed)))
        done = all(i["ordered"] == i["shipped"] + i["cancelled"] for i in self.items(db, row["id"]))
        self._touch(db, row["id"], "SHIPPED" if done else "PARTIALLY_SHIPPED", at, due=None if done else row["due"])

    def window_ends(self, row: sqlite3.Row) -> datetime:
        """Until when the buyer may cancel without asking."""
        return loaded(row["created"]) + (WINDOW_JAPAN if row["marketplace"] == JAPAN else WINDOW)

    def cancel(self, order: str) -> None:
        """As the buyer, within the window and before anything is shipped: the units come back by themselves."""
        with self.store.transaction() as db:
            self.catch_up(db)
            row = self.purchase(db, order)
            self._expect(row, *UNPAID, "UNSHIPPED")
            if self.now() >= self.window_ends(row):
                raise ShopRefuses("The time in which a buyer may cancel is over; the buyer can only ask for it.")
            self._cancel(db, row, "BUYER", "Changed mind about purchase", gives_back=True)

    def ask_to_cancel(self, order: str, reason: str = "Changed mind about purchase") -> None:
        """As the buyer, later: nothing changes but that the seller sees the request."""
        with self.store.transaction() as db:
            self.catch_up(db)
            row = self.purchase(db, order)
            self._expect(row, "UNSHIPPED", "PARTIALLY_SHIPPED")
            db.execute("UPDATE item SET request = ? WHERE purchase = ?", (reason, order))
            self._touch(db, order, row["status"], self.stamp(), due=row["due"], change="BuyerRequestedChange")

    def seller_cancels(self, order: str, reason: str = "No Inventory") -> None:
        """As the seller, whatever is not shipped. Amazon gives nothing back."""
        with self.store.transaction() as db:
            self.catch_up(db)
            row = self.purchase(db, order)
            self._expect(row, "UNSHIPPED", "PARTIALLY_SHIPPED")
            back = self.unknowns.seller_cancellation_gives_back and reason != "No Inventory"
            self._cancel(db, row, "MERCHANT", reason, gives_back=back)

    def _cancel(
        self, db: sqlite3.Connection, row: sqlite3.Row, by: str, reason: str, *, gives_back: bool, at: str | None = None
    ) -> None:
        shipped = False
        for item in self.items(db, row["id"]):
            left = item["ordered"] - item["shipped"] - item["cancelled"]
            shipped = shipped or item["shipped"] > 0
            if not left:
                continue
            db.execute(
                "UPDATE item SET cancelled = cancelled + ?, cancelled_by = ?, cancel_reason = ? WHERE id = ?",
                (left, by, reason, item["id"]),
            )
            if gives_back:
                self._move(db, item["sku"], left, row["marketplace"])
        self._touch(db, row["id"], "SHIPPED" if shipped else "CANCELLED", at or self.stamp(), due=None)

    def returns(self, order: str, units: Mapping[str, int] | None = None, reason: str = "Not as described") -> None:
        """The buyer sends units back: the order stays SHIPPED and no figure moves. Only the returns report tells."""
        with self.store.transaction() as db:
            self.catch_up(db)
            for item in self.items(db, self.purchase(db, order)["id"]):
                most = item["shipped"] - item["returned"]
                back = most if units is None else units.get(item["sku"], 0)
                if not 0 <= back <= most:
                    raise ShopRefuses(f"{most} of {item['sku']} can come back, not {back}.")
                if back:
                    db.execute("UPDATE item SET returned = returned + ? WHERE id = ?", (back, item["id"]))
                    db.execute(
                        "INSERT INTO returned (item, units, at, reason) VALUES (?, ?, ?, ?)",
                        (item["id"], back, self.stamp(), reason),
                    )

    def _touch(
        self,
        db: sqlite3.Connection,
        order: str,
        status: str,
        at: str,
        *,
        due: str | None,
        change: str = "OrderStatusChange",
    ) -> None:
        db.execute("UPDATE purchase SET status = ?, updated = ?, due = ? WHERE id = ?", (status, at, due, order))
        self._tell_order(db, order, change)

    def _tell_order(self, db: sqlite3.Connection, order: str, change: str = "OrderStatusChange") -> None:
        self.told(db, "ORDER_CHANGE", {"order": order, "change": change})

    @staticmethod
    def _expect(row: sqlite3.Row, *statuses: str) -> None:
        if row["status"] not in statuses:
            raise ShopRefuses(f"Order {row['id']} is {row['status']}: that cannot be done now.")

    def purchase(self, db: sqlite3.Connection, order: str) -> sqlite3.Row:
        row = db.execute("SELECT * FROM purchase WHERE id = ?", (order,)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise NotFound(f"there is no order {order}")
        return row

    def items(self, db: sqlite3.Connection, order: str) -> list[sqlite3.Row]:
        return db.execute("SELECT * FROM item WHERE purchase = ? ORDER BY id", (order,)).fetchall()

    def packages(self, db: sqlite3.Connection, order: str) -> list[sqlite3.Row]:
        return db.execute("SELECT * FROM package WHERE purchase = ? ORDER BY id", (order,)).fetchall()

    def status(self, order: str) -> str:
        with self.store.transaction() as db:
            self.catch_up(db)
            return str(self.purchase(db, order)["status"])


def stored(moment: datetime) -> str:
    """UTC, always as long, so that text sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def loaded(text: str) -> datetime:
    """What `stored` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def asin_of(sku: str) -> str:
    """A catalogue number, the same for the same SKU in every process."""
    number = int.from_bytes(hashlib.sha256(sku.encode()).digest()[:8]) % 36**8
    digits = ""
    for _ in range(8):
        number, digit = divmod(number, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return f"B0{digits}"
