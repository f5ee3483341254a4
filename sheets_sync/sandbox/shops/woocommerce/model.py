"""How WooCommerce 11 keeps stock: one number a product, moved by the status of orders and by restocking refunds.

The number is already net of sales. It falls once when an order reaches processing, on-hold or completed; it rises again
by what was taken when the order becomes cancelled, pending or failed; a refund raises it only where it restocks;
trashing raises nothing. What was taken stands beside each line (`_reduced_stock`), so nothing is taken or given twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sheets_sync.sandbox.shops._common import Action, Clock, OrderRow, Seed, ShopRefuses, Shown, Store

TAKES = frozenset({"processing", "on-hold", "completed"})
GIVES_BACK = frozenset({"cancelled", "pending", "failed"})
"""Since 11.0; before, a failed order kept what it had taken."""

RELEASE = "11.0.1"
"""The release that is played; one that begins with 9. behaves as 9.0.2 did when it was driven."""

STATUSES = TAKES | GIVES_BACK | {"refunded", "checkout-draft"}
TOPICS = frozenset(f"{r}.{e}" for r in ("order", "product") for e in ("created", "updated", "deleted", "restored"))

HOLD = timedelta(minutes=60)
"""How long an unpaid checkout keeps units from other shoppers ("Hold stock (minutes)")."""

MOST_FAILURES = 5
"""A hook with more failed deliveries than this is disabled by the next failure."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS post (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS product (
  id INTEGER PRIMARY KEY REFERENCES post, type TEXT NOT NULL, parent_id INTEGER NOT NULL DEFAULT 0,
  sku TEXT NOT NULL, name TEXT NOT NULL, option TEXT NOT NULL DEFAULT '', price TEXT NOT NULL,
  manage_stock TEXT NOT NULL, stock INTEGER, backorders TEXT NOT NULL DEFAULT 'no',
  status TEXT NOT NULL DEFAULT 'publish', total_sales INTEGER NOT NULL DEFAULT 0,
  created TEXT NOT NULL, modified TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS product_sku ON product (sku);
CREATE TABLE IF NOT EXISTS barcode (product_id INTEGER PRIMARY KEY REFERENCES product, code TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shop_order (
  id INTEGER PRIMARY KEY REFERENCES post, status TEXT NOT NULL, before_trash TEXT NOT NULL DEFAULT '',
  stock_reduced INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL, modified TEXT NOT NULL, paid TEXT, completed TEXT,
  created_via TEXT NOT NULL, order_key TEXT NOT NULL, extra TEXT NOT NULL DEFAULT '{}');
CREATE INDEX IF NOT EXISTS order_modified ON shop_order (modified);
CREATE TABLE IF NOT EXISTS line (
  id INTEGER PRIMARY KEY AUTOINCREMENT, order_id INTEGER NOT NULL REFERENCES shop_order ON DELETE CASCADE,
  product_id INTEGER NOT NULL, variation_id INTEGER NOT NULL, name TEXT NOT NULL, price TEXT NOT NULL,
  quantity INTEGER NOT NULL, reduced INTEGER, restocked INTEGER);
CREATE INDEX IF NOT EXISTS line_order ON line (order_id);
CREATE TABLE IF NOT EXISTS refund (
  id INTEGER PRIMARY KEY REFERENCES post, order_id INTEGER NOT NULL REFERENCES shop_order ON DELETE CASCADE,
  created TEXT NOT NULL, amount TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refund_line (
  id INTEGER PRIMARY KEY AUTOINCREMENT, refund_id INTEGER NOT NULL REFERENCES refund ON DELETE CASCADE,
  line_id INTEGER NOT NULL, quantity INTEGER NOT NULL, total TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS webhook (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, status TEXT NOT NULL, topic TEXT NOT NULL,
  delivery_url TEXT NOT NULL, secret TEXT NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
  created TEXT NOT NULL, modified TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT, webhook_id INTEGER NOT NULL REFERENCES webhook ON DELETE CASCADE,
  object_id INTEGER NOT NULL, UNIQUE (webhook_id, object_id));
CREATE TABLE IF NOT EXISTS api_key (
  consumer_key TEXT PRIMARY KEY, consumer_secret TEXT NOT NULL, permissions TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS nonce (consumer_key TEXT NOT NULL, nonce TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (consumer_key, nonce));
"""


class NotFound(ShopRefuses):
    """No such product, order, refund or hook."""


@dataclass(frozen=True)
class LineWanted:
    """A line of an order that is being placed."""

    product: int  # a product's or a variation's id
    quantity: int
    price: str | None = None


class Shop:
    """The shop's model; thread-safe. Every public method is one transaction.

    Product arguments called `sku` are the SKU as text; order ids are whole numbers as WooCommerce has them.
    """

    vendor = "WooCommerce"

    def __init__(self, store: Store, clock: Clock, display_name: str = "Corner Shop", release: str = RELEASE) -> None:
        self.store = store
        self.display_name = display_name
        self._clock = clock
        self._on_queued: Callable[[], None] = lambda: None
        self.release = release

    @property
    def _old(self) -> bool:
        return self.release.startswith("9.")

    def on_queued(self, wake: Callable[[], None]) -> None:
        """What to call when a delivery was queued."""
        self._on_queued = wake

    def wake(self) -> None:
        """Something may be deliverable now."""
        self._on_queued()

    def now(self) -> str:
        """The shop's time in GMT, whole seconds, as it stores it."""
        return f"{self._clock():%Y-%m-%dT%H:%M:%S}"

    def seconds(self) -> float:
        """The shop's time as seconds since 1970."""
        return self._clock().timestamp()

    # products ---------------------------------------------------------------------------------------------------

    def add_product(
        self,
        sku: str,
        title: str,
        stock: int | None = 0,
        *,
        price: str = "10.00",
        variant_of: str = "",
        manage_stock: bool | str = True,
    ) -> int:
        """A simple product, or a variation (option `title`) of the product called `variant_of`. Its id.

        `stock` None or `manage_stock` False: the shop keeps no figure for it. `manage_stock="parent"`: the figure of a
        variation is its product's.
        """
        managed = (
            manage_stock if isinstance(manage_stock, str) else ("yes" if manage_stock and stock is not None else "no")
        )
        kept = stock if managed == "yes" else None
        with self.store.transaction() as db:
            if not variant_of:
                return self._new_product(db, "simple", 0, sku, title, "", price, managed, kept)
            parent = self._variable(db, variant_of)
            return self._new_product(
                db, "variation", parent, sku, f"{variant_of} - {title}", title, price, managed, kept
            )

    def add_variable(self, title: str, sku: str, stock: int) -> int:
        """A variable product that keeps stock for its variations; these are added with `variant_of=title`. Its id."""
        with self.store.transaction() as db:
            return self._new_product(db, "variable", 0, sku, title, "", "", "yes", stock)

    def seed(self, products: Iterable[Seed]) -> None:
        """Fill an empty shop; one that has products already is left as it is."""
        with self.store.transaction() as db:
            if db.execute("SELECT 1 FROM product LIMIT 1").fetchone():
                return
            for p in products:
                self.add_product(p.sku, p.title, p.stock, price=p.price, variant_of=p.variant_of)

    def product_id(self, sku: str) -> int:
        with self.store.transaction() as db:
            row = db.execute(
                "SELECT id FROM product WHERE sku = ? AND status <> 'trash' ORDER BY id", (sku,)
            ).fetchone()
        if row is None:
            raise NotFound(f"no product with the SKU '{sku}'")
        return int(row["id"])

    def figure(self, sku: str) -> int | None:
        """What the shop shows for a SKU."""
        with self.store.transaction() as db:
            row = self.stock_row(db, self.product_id(sku))
        return None if row is None or row["stock"] is None else int(row["stock"])

    def set_figure(self, sku: str, stock: int) -> None:
        """As an admin types it on the product's page."""
        with self.store.transaction() as db:
            self.set_stock(db, self.product_id(sku), stock)

    def rename(self, sku: str, *, new_sku: str | None = None, title: str | None = None) -> None:
        """Change SKU or title, as an admin would."""
        with self.store.transaction() as db:
            product = self.product_id(sku)
            db.execute(
                "UPDATE product SET sku = coalesce(?, sku), name = coalesce(?, name) WHERE id = ?",
                (new_sku, title, product),
            )
            self.touched_product(db, product)

    def set_barcode(self, sku: str, barcode: str) -> None:
        """The seller types it under *GTIN, UPC, EAN or ISBN*."""
        with self.store.transaction() as db:
            product = self.product_id(sku)
            db.execute("INSERT OR REPLACE INTO barcode VALUES (?, ?)", (product, barcode))
            self.touched_product(db, product)

    def delete_product(self, sku: str) -> None:
        with self.store.transaction() as db:
            self.trash_product(db, self.product_id(sku))

    def trash_product(self, db: sqlite3.Connection, product: int) -> None:
        db.execute("UPDATE product SET status = 'trash', modified = ? WHERE id = ?", (self.now(), product))
        self.queue(db, "product.deleted", product)

    def _variable(self, db: sqlite3.Connection, title: str) -> int:
        row = db.execute("SELECT id FROM product WHERE type = 'variable' AND name = ?", (title,)).fetchone()
        if row is not None:
            return int(row["id"])
        return self._new_product(db, "variable", 0, "", title, "", "", "no", None)

    def _new_product(
        self,
        db: sqlite3.Connection,
        kind: str,
        parent: int,
        sku: str,
        name: str,
        option: str,
        price: str,
        managed: str,
        stock: int | None,
    ) -> int:
        now = self.now()
        product = new_post(db, "product")
        db.execute(
            "INSERT INTO product (id, type, parent_id, sku, name, option, price, manage_stock, stock, created,"
            " modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (product, kind, parent, sku, name, option, price, managed, stock, now, now),
        )
        self.queue(db, "product.created", product)
        return product

    def stock_row(self, db: sqlite3.Connection, product: int) -> sqlite3.Row | None:
        """The row that keeps a product's figure: its own, its parent's, or none."""
        row = db.execute("SELECT * FROM product WHERE id = ?", (product,)).fetchone()
        if row is not None and row["manage_stock"] == "parent":
            row = db.execute("SELECT * FROM product WHERE id = ?", (row["parent_id"],)).fetchone()
        keeps = row is not None and row["manage_stock"] == "yes"
        return row if keeps and isinstance(row, sqlite3.Row) else None

    def set_stock(self, db: sqlite3.Connection, product: int, stock: int) -> None:
        """Ignored, as WooCommerce does, where the product keeps no figure."""
        db.execute("UPDATE product SET stock = ? WHERE id = ? AND manage_stock = 'yes'", (stock, product))
        self.touched_product(db, product)

    def touched_product(self, db: sqlite3.Connection, product: int) -> None:
        """A save: the date moves (a variation's parent too), and product.updated goes out, also for an equal value."""
        now = self.now()
        db.execute(
            "UPDATE product SET modified = ? WHERE id = ? OR id = (SELECT parent_id FROM product WHERE id = ?)",
            (now, product, product),
        )
        self.queue(db, "product.updated", product)

    def _move(self, db: sqlite3.Connection, product: int, change: int) -> bool:
        keeper = self.stock_row(db, product)
        if keeper is None:
            return False
        if change:
            db.execute("UPDATE product SET stock = coalesce(stock, 0) + ? WHERE id = ?", (change, keeper["id"]))
            self.touched_product(db, int(keeper["id"]))
        return True

    # orders as people make them ---------------------------------------------------------------------------------

    def buy(self, sku: str, units: int = 1, *, pay: bool = True) -> int:
        """A shopper's checkout, refused where the shop has not enough; paid at once or left pending. Its id."""
        with self.store.transaction() as db:
            product = self.product_id(sku)
            self._refuse_oversell(db, product, units)
            order = self.place(db, [LineWanted(product, units)], created_via="checkout")
            if pay:
                self.pay(order)
            return order

    def pay(self, order: int) -> None:
        """Payment arrived: processing, and the stock is taken."""
        with self.store.transaction() as db:
            now = self.now()
            db.execute("UPDATE shop_order SET paid = coalesce(paid, ?) WHERE id = ?", (now, order))
            self.set_status(db, order, "processing")

    def hold(self, order: int) -> None:
        """Awaiting a bank transfer: on-hold, and the stock is taken."""
        with self.store.transaction() as db:
            self.set_status(db, order, "on-hold")

    def ship(self, order: int) -> None:
        with self.store.transaction() as db:
            self.set_status(db, order, "completed")

    def cancel(self, order: int) -> None:
        with self.store.transaction() as db:
            self.set_status(db, order, "cancelled")

    def refund(
        self, order: int, units: Mapping[str, int] | None = None, *, restock: bool = True, reason: str = ""
    ) -> int:
        """Refund `units` by SKU (None: all that is left of every line). The refund's id."""
        with self.store.transaction() as db:
            lines = {int(r["id"]): r for r in self.lines(db, order)}
            if units is None:
                wanted = {line: int(r["quantity"]) - self._refunded(db, line) for line, r in lines.items()}
            else:
                wanted = {line: units[sku] for line, r in lines.items() if (sku := self._sku(db, r)) in units}
            asked = {line: (n, str(n * Decimal(str(lines[line]["price"])))) for line, n in wanted.items() if n}
            return self.make_refund(db, order, asked, None, restock=restock, reason=reason)

    def set_quantity(self, order: int, sku: str, units: int) -> None:
        """A seller edits an order's line; 0 removes it. Stock follows, but for 9.0, which leaves it."""
        with self.store.transaction() as db:
            for row in self.lines(db, order):
                if self._sku(db, row) == sku:
                    self.change_line(db, order, int(row["id"]), units)
                    self.touched_order(db, order)

    def trash(self, order: int, *, forever: bool = False) -> None:
        """To the trash, or deleted for good. Stock is not given back either way."""
        with self.store.transaction() as db:
            self.order_row(db, order)
            self.queue(db, "order.deleted", order)
            if forever:
                db.execute("DELETE FROM shop_order WHERE id = ?", (order,))
                return
            db.execute(
                "UPDATE shop_order SET before_trash = status, status = 'trash', modified = ? WHERE id = ?",
                (self.now(), order),
            )

    def restore(self, order: int) -> None:
        """Out of the trash, with the status it had."""
        with self.store.transaction() as db:
            db.execute(
                "UPDATE shop_order SET status = before_trash, modified = ? WHERE id = ? AND status = 'trash'",
                (self.now(), order),
            )
            self.queue(db, "order.restored", order)

    def status(self, order: int) -> str:
        with self.store.transaction() as db:
            return str(self.order_row(db, order)["status"])

    def _refuse_oversell(self, db: sqlite3.Connection, product: int, units: int) -> None:
        if units < 1:
            raise ShopRefuses("buy at least one unit")
        keeper = self.stock_row(db, product)
        if keeper is None or keeper["backorders"] != "no":
            return
        left = int(keeper["stock"] or 0) - self._held(db, product)
        if units > left:
            raise ShopRefuses(f"Sorry, there are only {max(left, 0)} of '{keeper['name']}' left.")

    def _held(self, db: sqlite3.Connection, product: int) -> int:
        since = f"{self._clock() - HOLD:%Y-%m-%dT%H:%M:%S}"
        row = db.execute(
            "SELECT coalesce(sum(quantity), 0) AS held FROM line JOIN shop_order o ON o.id = order_id WHERE o.status ="
            " 'pending' AND o.created_via = 'checkout' AND o.created > ? AND ? IN (variation_id, product_id)",
            (since, product),
        ).fetchone()
        return int(row["held"])

    # orders inside a transaction --------------------------------------------------------------------------------

    def place(
        self,
        db: sqlite3.Connection,
        lines: Sequence[LineWanted],
        *,
        status: str = "pending",
        created_via: str = "rest-api",
        extra: str = "{}",
    ) -> int:
        """A new order; nothing is checked against stock here, as the REST API does not."""
        now = self.now()
        order = new_post(db, "order")
        db.execute(
            "INSERT INTO shop_order (id, status, created, modified, created_via, order_key, extra)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (order, "pending", now, now, created_via, f"wc_order_{order:08x}", extra),
        )
        for line in lines:
            self.add_line(db, order, line)
        self.queue(db, "order.created", order)
        if status != "pending":
            self.set_status(db, order, status)
        return order

    def add_line(self, db: sqlite3.Connection, order: int, wanted: LineWanted) -> int:
        product = db.execute("SELECT * FROM product WHERE id = ?", (wanted.product,)).fetchone()
        if product is None:
            raise NotFound(f"no product {wanted.product}")
        of_variation = product["type"] == "variation"
        cursor = db.execute(
            "INSERT INTO line (order_id, product_id, variation_id, name, price, quantity) VALUES (?, ?, ?, ?, ?, ?)",
            (
                order,
                product["parent_id"] if of_variation else product["id"],
                product["id"] if of_variation else 0,
                product["name"],
                wanted.price or product["price"] or "0",
                wanted.quantity,
            ),
        )
        line = int(cursor.lastrowid or 0)
        if self.order_row(db, order)["stock_reduced"]:
            self._take(db, line)
        return line

    def change_line(self, db: sqlite3.Connection, order: int, line: int, quantity: int) -> None:
        """Another quantity (0 removes the line); what was taken follows it."""
        row = db.execute("SELECT * FROM line WHERE id = ? AND order_id = ?", (line, order)).fetchone()
        if row is None:
            raise NotFound(f"order {order} has no line {line}")
        if row["reduced"] is not None and not self._old:
            reduced = int(row["reduced"]) + quantity - int(row["quantity"])
            self._move(db, sold(row), int(row["quantity"]) - quantity)
            db.execute("UPDATE line SET reduced = ? WHERE id = ?", (max(reduced, 0), line))
        db.execute("UPDATE line SET quantity = ? WHERE id = ?", (quantity, line))
        if quantity == 0:
            db.execute("DELETE FROM line WHERE id = ?", (line,))

    def set_status(self, db: sqlite3.Connection, order: int, status: str) -> None:
        """The transition, its dates, and what it does to stock."""
        row = self.order_row(db, order)
        now = self.now()
        completed = now if status == "completed" and row["status"] != "completed" else row["completed"]
        db.execute("UPDATE shop_order SET status = ?, completed = ? WHERE id = ?", (status, completed, order))
        if status in TAKES and not row["stock_reduced"]:
            for line in self.lines(db, order):
                self._take(db, int(line["id"]))
            db.execute("UPDATE shop_order SET stock_reduced = 1 WHERE id = ?", (order,))
        gives_back = GIVES_BACK - {"failed"} if self._old else GIVES_BACK
        if status in gives_back and row["stock_reduced"]:
            self._give_back(db, order)
        if status == "refunded" and row["status"] != "refunded":
            self._refund_rest(db, order)
        self.touched_order(db, order)

    def _take(self, db: sqlite3.Connection, line: int) -> None:
        row = db.execute("SELECT * FROM line WHERE id = ?", (line,)).fetchone()
        if row["reduced"] is None and self._move(db, sold(row), -int(row["quantity"])):
            db.execute("UPDATE line SET reduced = quantity WHERE id = ?", (line,))

    def _give_back(self, db: sqlite3.Connection, order: int) -> None:
        for row in self.lines(db, order):
            if row["reduced"]:
                self._move(db, sold(row), int(row["reduced"]))
        db.execute("UPDATE line SET reduced = NULL WHERE order_id = ?", (order,))
        db.execute("UPDATE shop_order SET stock_reduced = 0 WHERE id = ?", (order,))

    def make_refund(
        self,
        db: sqlite3.Connection,
        order: int,
        lines: Mapping[int, tuple[int, str]],
        amount: Decimal | None,
        *,
        restock: bool,
        reason: str = "",
    ) -> int:
        """`lines`: line id to (units, money). `amount` None: the sum of the lines. A full refund sets `refunded`."""
        if amount is None:
            amount = sum((Decimal(total) for _, total in lines.values()), Decimal(0))
        left = self.total(db, order) - self.refunded_total(db, order)
        if amount < 0 or amount > left:
            raise ShopRefuses("Invalid refund amount.")
        refund = self._book_refund(db, order, lines, amount, reason)
        if restock:
            self._restock(db, lines)
        if amount == left and amount > 0:
            db.execute("UPDATE shop_order SET status = 'refunded' WHERE id = ?", (order,))
        self.touched_order(db, order)
        return refund

    def _book_refund(
        self, db: sqlite3.Connection, order: int, lines: Mapping[int, tuple[int, str]], amount: Decimal, reason: str
    ) -> int:
        refund = new_post(db, "refund")
        db.execute("INSERT INTO refund VALUES (?, ?, ?, ?, ?)", (refund, order, self.now(), f"{amount:.2f}", reason))
        db.executemany(
            "INSERT INTO refund_line (refund_id, line_id, quantity, total) VALUES (?, ?, ?, ?)",
            [(refund, line, units, total) for line, (units, total) in lines.items()],
        )
        return refund

    def _restock(self, db: sqlite3.Connection, lines: Mapping[int, tuple[int, str]]) -> None:
        for line, (units, _) in lines.items():
            row = db.execute("SELECT * FROM line WHERE id = ?", (line,)).fetchone()
            if row is not None and row["reduced"] and units and self._move(db, sold(row), units):
                db.execute(
                    "UPDATE line SET reduced = reduced - ?, restocked = coalesce(restocked, 0) + ? WHERE id = ?",
                    (units, units, line),
                )

    def _refund_rest(self, db: sqlite3.Connection, order: int) -> None:
        """The status `refunded` makes a refund of all the money, of no line, and restocks nothing."""
        left = self.total(db, order) - self.refunded_total(db, order)
        if left > 0:
            self._book_refund(db, order, {}, left, "Order fully refunded.")

    def delete_refund(self, db: sqlite3.Connection, order: int, refund: int) -> None:
        """Takes the refund off the order; no stock moves."""
        db.execute("DELETE FROM refund WHERE id = ? AND order_id = ?", (refund, order))
        self.touched_order(db, order)

    def touched_order(self, db: sqlite3.Connection, order: int) -> None:
        db.execute("UPDATE shop_order SET modified = ? WHERE id = ?", (self.now(), order))
        self.queue(db, "order.updated", order)

    def order_row(self, db: sqlite3.Connection, order: int) -> sqlite3.Row:
        row = db.execute("SELECT * FROM shop_order WHERE id = ?", (order,)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise NotFound(f"no order {order}")
        return row

    def lines(self, db: sqlite3.Connection, order: int) -> list[sqlite3.Row]:
        return db.execute("SELECT * FROM line WHERE order_id = ? ORDER BY id", (order,)).fetchall()

    def total(self, db: sqlite3.Connection, order: int) -> Decimal:
        return sum((Decimal(str(r["price"])) * int(r["quantity"]) for r in self.lines(db, order)), Decimal(0))

    def refunded_total(self, db: sqlite3.Connection, order: int) -> Decimal:
        rows = db.execute("SELECT amount FROM refund WHERE order_id = ?", (order,)).fetchall()
        return sum((Decimal(str(r["amount"])) for r in rows), Decimal(0))

    def _refunded(self, db: sqlite3.Connection, line: int) -> int:
        row = db.execute(
            "SELECT coalesce(sum(quantity), 0) AS n FROM refund_line WHERE line_id = ?", (line,)
        ).fetchone()
        return int(row["n"])

    def _sku(self, db: sqlite3.Connection, line: sqlite3.Row) -> str:
        row = db.execute("SELECT * FROM product WHERE id = ?", (sold(line),)).fetchone()
        return "" if row is None else sku_of(db, row)

    # webhooks ---------------------------------------------------------------------------------------------------

    def queue(self, db: sqlite3.Connection, topic: str, thing: int) -> None:
        """One pending delivery a hook and object; while it waits, later changes of the object queue nothing."""
        added = db.execute(
            "INSERT OR IGNORE INTO delivery (webhook_id, object_id)"
            " SELECT id, ? FROM webhook WHERE topic = ? AND status = 'active'",
            (thing, topic),
        ).rowcount
        if added > 0:
            self.wake()

    # the storefront ---------------------------------------------------------------------------------------------

    def shown(self) -> Sequence[Shown]:
        with self.store.transaction() as db:
            rows = db.execute(
                "SELECT * FROM product WHERE type <> 'variable' AND status = 'publish' ORDER BY name, id"
            ).fetchall()
            return [self._shown(db, row) for row in rows]

    def _shown(self, db: sqlite3.Connection, row: sqlite3.Row) -> Shown:
        keeper = self.stock_row(db, int(row["id"]))
        figure = None if keeper is None else int(keeper["stock"] or 0)
        buyable = figure is None or figure > 0 or row["backorders"] != "no"
        return Shown(str(row["id"]), row["name"], row["sku"], figure, buyable)

    def order_rows(self) -> Sequence[OrderRow]:
        with self.store.transaction() as db:
            rows = db.execute("SELECT * FROM shop_order ORDER BY id DESC LIMIT 200").fetchall()
            return [
                OrderRow(
                    id=str(row["id"]),
                    number=f"#{row['id']}",
                    placed=str(row["created"]).replace("T", " "),
                    state=str(row["status"]),
                    lines=[
                        f"{r['quantity']} × {r['name']} ({self._sku(db, r) or 'no SKU'})"
                        for r in self.lines(db, row["id"])
                    ],
                    actions=ACTIONS.get(row["status"], ()),
                )
                for row in rows
            ]

    def buy_one(self, product_id: str, units: int) -> str:
        with self.store.transaction() as db:
            product = int(product_id) if product_id.isdigit() else 0
            row = db.execute("SELECT id FROM product WHERE id = ? AND status = 'publish'", (product,)).fetchone()
            if row is None:
                raise NotFound("this product is not sold here any more")
            self._refuse_oversell(db, product, units)
            order = self.place(db, [LineWanted(product, units)], created_via="checkout")
            self.pay(order)
            return f"#{order}"

    def act(self, order_id: str, verb: str) -> None:
        """A button: only what the order's status offers."""
        order = int(order_id) if order_id.isdigit() else 0
        with self.store.transaction():
            if verb not in {a.verb for a in ACTIONS.get(self.status(order), ())}:
                raise ShopRefuses(f"order #{order} cannot do that now")
            doing: Mapping[str, Callable[[], object]] = {
                "pay": lambda: self.pay(order),
                "ship": lambda: self.ship(order),
                "cancel": lambda: self.cancel(order),
                "refund": lambda: self.refund(order),
                "refund-keep": lambda: self.refund(order, restock=False),
                "trash": lambda: self.trash(order),
                "restore": lambda: self.restore(order),
            }
            doing[verb]()


_PAY = Action("pay", "Pay", "buyer")
_SHIP = Action("ship", "Ship")
_CANCEL = Action("cancel", "Cancel")
_REFUND = Action("refund", "Refund and restock")
_REFUND_KEEP = Action("refund-keep", "Refund, no restock")
_TRASH = Action("trash", "Trash")

ACTIONS: Mapping[str, Sequence[Action]] = {
    "pending": (_PAY, _CANCEL, _TRASH),
    "failed": (_PAY, _CANCEL, _TRASH),
    "on-hold": (_PAY, _SHIP, _CANCEL),
    "processing": (_SHIP, _CANCEL, _REFUND, _REFUND_KEEP, _TRASH),
    "completed": (_REFUND, _REFUND_KEEP),
    "cancelled": (_TRASH,),
    "refunded": (_TRASH,),
    "trash": (Action("restore", "Restore"),),
}


def new_post(db: sqlite3.Connection, kind: str) -> int:
    """Products, variations, orders and refunds share WordPress's one sequence of ids."""
    return int(db.execute("INSERT INTO post (kind) VALUES (?)", (kind,)).lastrowid or 0)


def sku_of(db: sqlite3.Connection, product: sqlite3.Row) -> str:
    """A product's SKU; a variation that has none shows its product's."""
    if product["sku"] or product["type"] != "variation":
        return str(product["sku"])
    row = db.execute("SELECT sku FROM product WHERE id = ?", (product["parent_id"],)).fetchone()
    return "" if row is None else str(row["sku"])


def sold(line: sqlite3.Row) -> int:
    """The product whose figure a line moves."""
    return int(line["variation_id"] or line["product_id"])


def local_time(gmt: str | None, offset: timedelta) -> str | None:
    """WordPress shows each time twice: in the site's zone, and in GMT."""
    return None if gmt is None else (datetime.fromisoformat(gmt) + offset).isoformat()
