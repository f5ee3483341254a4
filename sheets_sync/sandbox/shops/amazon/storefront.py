"""What the storefront's pages show and do: you are the buyer and the seller of one account."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from sheets_sync.sandbox.shops._common import Action, OrderRow, ShopRefuses, Shown
from sheets_sync.sandbox.shops.amazon.model import SELLER_CHANNEL, UNPAID, NotFound, Shop, Wanted

_PAY = Action("pay", "Pay now", "buyer")
_FAIL = Action("fail", "Payment fails", "buyer")
_RELEASE = Action("release", "Becomes available")
_CANCEL = Action("cancel", "Cancel", "buyer")
_ASK = Action("ask", "Ask to cancel", "buyer")
_SHIP = Action("ship", "Ship all")
_SHIP_ONE = Action("ship-one", "Ship 1")
_NO_STOCK = Action("cancel-no-stock", "Cancel: no inventory")
_AGREE = Action("cancel-agreed", "Cancel: buyer asked")
_RETURN = Action("return", "Send 1 back", "buyer")


class Account(Shop):
    """The model with its pages."""

    def shown(self) -> Sequence[Shown]:
        with self.store.transaction() as db:
            self.catch_up(db)
            rows = db.execute("SELECT * FROM listing WHERE channel <> '' ORDER BY title, sku").fetchall()
        return [self._shown(row) for row in rows]

    def _shown(self, row: sqlite3.Row) -> Shown:
        seller_ships = row["channel"] == SELLER_CHANNEL
        figure = self.quantity(row, self.marketplaces) if seller_ships else int(row["fba_units"])
        title = row["title"] if seller_ships else f"{row['title']} (shipped by Amazon)"
        return Shown(row["sku"], title, row["sku"], figure, bool(figure and figure > 0))

    def buy_one(self, product_id: str, units: int) -> str:
        return self.place([Wanted(product_id, units)])

    def order_rows(self) -> Sequence[OrderRow]:
        with self.store.transaction() as db:
            self.catch_up(db)
            rows = db.execute("SELECT * FROM purchase ORDER BY number DESC LIMIT 200").fetchall()
            return [self._order_row(db, row) for row in rows]

    def _order_row(self, db: sqlite3.Connection, row: sqlite3.Row) -> OrderRow:
        return OrderRow(
            id=str(row["id"]),
            number=str(row["id"]),
            placed=str(row["created"])[:19].replace("T", " "),
            state=str(row["status"]).lower().replace("_", " "),
            lines=[f"{i['ordered']} × {i['title']} ({i['sku']})" for i in self.items(db, row["id"])],
            actions=self._actions(db, row),
            remarks=[said for item in self.items(db, row["id"]) for said in _remarks(item)],
            until=self._until(row),
        )

    def _until(self, row: sqlite3.Row) -> str:
        """What the clock will do to an order."""
        if row["status"] == "PENDING":
            return f"until {row['due'][11:19]}: the payment is being verified"
        if row["status"] == "PENDING_AVAILABILITY":
            return "a pre-order"
        if row["status"] == "UNSHIPPED" and self.now() < self.window_ends(row):
            return f"the buyer may cancel until {self.window_ends(row):%H:%M:%S}"
        if row["status"] in ("UNSHIPPED", "PARTIALLY_SHIPPED") and row["channel"] == SELLER_CHANNEL:
            return f"to be shipped by {row['ship_by'][:10]}"
        return ""

    def _actions(self, db: sqlite3.Connection, row: sqlite3.Row) -> list[Action]:
        status, seller_ships = row["status"], row["channel"] == SELLER_CHANNEL
        items = self.items(db, row["id"])
        in_time = self.now() < self.window_ends(row)
        found = [_RELEASE] if status == "PENDING_AVAILABILITY" else [_PAY] if status == "PENDING" else []
        if status in UNPAID:
            found.append(_FAIL)
        if in_time and status in UNPAID | {"UNSHIPPED"}:
            found.append(_CANCEL)
        if status in ("UNSHIPPED", "PARTIALLY_SHIPPED") and seller_ships:
            if not in_time and not any(item["request"] for item in items):
                found.append(_ASK)
            left = sum(item["ordered"] - item["shipped"] - item["cancelled"] for item in items)
            found += [_SHIP] if left == 1 else [_SHIP, _SHIP_ONE]
            found += [_AGREE] if any(item["request"] for item in items) else []
            found.append(_NO_STOCK)
        if seller_ships and any(item["shipped"] > item["returned"] for item in items):
            found.append(_RETURN)
        return found

    def act(self, order_id: str, verb: str) -> None:
        """A button: only what the order's state offers."""
        with self.store.transaction() as db:
            self.catch_up(db)
            if verb not in {a.verb for a in self._actions(db, self.purchase(db, order_id))}:
                raise ShopRefuses(f"Order {order_id} cannot do that now.")
            doing: Mapping[str, Callable[[], None]] = {
                "pay": lambda: self.pay(order_id),
                "fail": lambda: self.payment_fails(order_id),
                "release": lambda: self.release(order_id),
                "cancel": lambda: self.cancel(order_id),
                "ask": lambda: self.ask_to_cancel(order_id),
                "ship": lambda: self.ship(order_id),
                "ship-one": lambda: self.ship(order_id, self._one(db, order_id, "shipped", "ordered")),
                "cancel-no-stock": lambda: self.seller_cancels(order_id, "No Inventory"),
                "cancel-agreed": lambda: self.seller_cancels(order_id, "Buyer Canceled"),
                "return": lambda: self.returns(order_id, self._one(db, order_id, "returned", "shipped")),
            }
            doing[verb]()

    def _one(self, db: sqlite3.Connection, order: str, done: str, of: str) -> dict[str, int]:
        """A unit of the first line that has one left."""
        for item in self.items(db, order):
            if item[done] < item[of]:
                return {item["sku"]: 1}
        raise NotFound("there is no unit left")


def _remarks(item: sqlite3.Row) -> list[str]:
    """What became of a line, besides being ordered."""
    said = [f"{item[name]} {name}" for name in ("shipped", "returned", "cancelled") if item[name]]
    if item["cancelled_by"]:
        by = {"MERCHANT": "the seller", "BUYER": "the buyer", "AMAZON": "Amazon"}[item["cancelled_by"]]
        said[-1] += f" by {by}: {item['cancel_reason']}"
    elif item["request"]:
        said.append(f"the buyer asks to cancel: {item['request']}")
    return said
