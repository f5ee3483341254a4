"""What every local shop shares: one durable store, one threaded server, one courier for webhooks, one storefront.

A local shop is a vendor's wire protocol over a small model of that vendor's stock. The model is its own; everything
around it is here, so that a shop's file reads as "how this vendor behaves" and nothing else.
"""

from __future__ import annotations

import errno
import io
import ipaddress
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlencode, urlsplit

import requests
from cheroot.wsgi import Server as CherootServer
from flask import Blueprint, redirect, render_template_string, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException
from werkzeug.wrappers import Response

from sheets_sync.sandbox.stopping import stop_at_once

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The default clock of a local shop."""
    return datetime.now(UTC)


class ShopRefuses(Exception):
    """The shop says no to a buyer or seller, in words that the storefront shows."""


@dataclass(frozen=True)
class Seed:
    """A product to begin with. Products of one `variant_of` are variations of that one product (its title)."""

    sku: str
    title: str
    stock: int | None
    price: str = "10.00"
    variant_of: str = ""


# the store ------------------------------------------------------------------------------------------------------


class Store:
    """One SQLite file behind one lock: a transaction is durable when it returns, also after kill -9.

    `path` None keeps everything in memory. Transactions nest: the outermost one commits.
    """

    def __init__(self, path: Path | None, schema: str) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(str(path or ":memory:"), check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        self._depth = 0
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript("CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);")
        self._db.executescript(schema)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one at a time."""
        with self._lock:
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._db
            except BaseException:  # whatever ends it, Ctrl-C too: nothing half done stays, and it goes on up
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("COMMIT")

    def setting(self, name: str, make: Callable[[], str]) -> str:
        """A value that is made once and stays: credentials, the shop's name."""
        with self.transaction() as db:
            row = db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
            if row is not None:
                return str(row["value"])
            value = make()
            db.execute("INSERT INTO setting VALUES (?, ?)", (name, value))
            return value

    def set_setting(self, name: str, value: str) -> None:
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    def close(self) -> None:
        with self._lock:
            self._db.close()


# faults ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A request as a fault hook sees it, before the shop does."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """Answer this instead. `applied`: the shop has done the work all the same (a 503 after applying)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    applied: bool = False


@dataclass(frozen=True)
class Drop:
    """Close the connection with no answer. `applied`: the shop has done the work all the same."""

    applied: bool = False


Hook = Callable[[Seen], Answer | Drop | None]


class Faults:
    """WSGI middleware that asks `hook`, when there is one, what should go wrong with a request."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self.hook: Hook | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.hook is None:
            return self.app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        action = self.hook(_seen(environ, body))
        if action is None:
            return self.app(environ, start_response)
        if action.applied:
            _run_and_forget(self.app, environ)
        if isinstance(action, Drop):
            # cheroot closes the connection, silently, on just this error
            raise ConnectionResetError(errno.ECONNRESET, "dropped by a fault hook")
        answer = Response(action.body, status=action.status, headers=dict(action.headers))
        return answer(environ, start_response)


def _seen(environ: WSGIEnvironment, body: bytes) -> Seen:
    headers = {k[5:].replace("_", "-").title(): str(v) for k, v in environ.items() if k.startswith("HTTP_")}
    return Seen(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), headers, body)


def _run_and_forget(app: WSGIApplication, environ: WSGIEnvironment) -> None:
    def ignore(status: str, headers: list[tuple[str, str]], exc_info: object = None, /) -> Callable[[bytes], object]:
        return lambda chunk: None

    for _ in app(environ, ignore):
        pass


# the server -----------------------------------------------------------------------------------------------------


class HttpServer:
    """A threaded WSGI server on `host` (loopback unless told otherwise), already listening when built."""

    def __init__(self, app: WSGIApplication, port: int = 0, host: str = "127.0.0.1", threads: int = 8) -> None:
        self._server = CherootServer((host, port), app, numthreads=threads, shutdown_timeout=1, request_queue_size=128)
        self._server.prepare()
        address = self._server.bind_addr
        self.port = int(address[1])
        self.host = host
        self._thread = threading.Thread(target=self._server.serve, name=f"http-{self.port}", daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def close(self) -> None:
        stop_at_once(self._server)
        self._thread.join(timeout=5)


@dataclass
class Running:
    """A local shop that is up. `shop` is its thread-safe model, with the methods that a test uses.

    `credentials` are what the adapter's section of config.toml needs. `middleware` injects faults (see `Faults`).
    """

    name: str
    base_url: str
    storefront: str
    credentials: Mapping[str, str]
    shop: Any
    faults: Faults
    closers: Sequence[Callable[[], None]] = ()
    _closed: threading.Event = field(default_factory=threading.Event)

    @property
    def middleware(self) -> Hook | None:
        return self.faults.hook

    @middleware.setter
    def middleware(self, hook: Hook | None) -> None:
        self.faults.hook = hook

    def close(self) -> None:
        """Stop serving and delivering; what was committed stays in the file. May be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        for close in self.closers:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


# webhooks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parcel:
    """One delivery to make now."""

    id: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float


class Outbox(Protocol):
    """A shop's own queue of deliveries: what is due, what becomes of it."""

    def next_parcel(self) -> Parcel | float | None:
        """A parcel that is due; else the seconds until one will be; else None: nothing waits."""
        ...

    def delivered(self, parcel: Parcel, status: int | None) -> None:
        """The receiver's HTTP status, or None where there was no answer. Must move or remove the parcel."""
        ...


class Courier:
    """Delivers an outbox in one background thread, one parcel after the other, in the order the shop gives them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._changed = threading.Condition()
        self._stopping = False
        self._looks = 0  # grows with every wake(): a wake between look and wait is not lost
        self._idle = False
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business between a local shop and its receiver
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something may be due now."""
        with self._changed:
            self._looks += 1
            self._idle = False
            self._changed.notify_all()

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """True once nothing is due any more (a retry that is due later does not count)."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle or self._stopping, timeout)

    def close(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout=5)
        self._session.close()

    def _run(self) -> None:
        while not self._stopping:
            with self._changed:
                looked = self._looks
            found = self._outbox.next_parcel()
            if isinstance(found, Parcel):
                status = self._send(found)
                if not self._stopping:  # the shop's file may be closed by now
                    self._outbox.delivered(found, status)
                continue
            with self._changed:
                if looked == self._looks and not self._stopping:
                    self._idle = True
                    self._changed.notify_all()
                    self._changed.wait(found)

    def _send(self, parcel: Parcel) -> int | None:
        try:
            answer = self._session.post(
                parcel.url,
                data=parcel.body,
                headers=dict(parcel.headers),
                timeout=parcel.timeout,
                allow_redirects=False,
            )
        except requests.RequestException:
            return None
        return answer.status_code


# the storefront -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A product as a buyer sees it."""

    id: str
    title: str
    sku: str
    figure: int | None
    buyable: bool = True


@dataclass(frozen=True)
class Action:
    """A button beside an order."""

    verb: str  # what `act` is given
    label: str
    who: str = "seller"  # "seller" or "buyer"


@dataclass(frozen=True)
class OrderRow:
    id: str
    number: str
    placed: str
    state: str
    lines: Sequence[str]
    actions: Sequence[Action]
    remarks: Sequence[str] = ()  # what else a person should see, under the lines
    until: str = ""  # what will happen by itself, under the state

    def of(self, who: str) -> Sequence[Action]:
        """The buttons of the buyer, or of the seller."""
        return [action for action in self.actions if action.who == who]


class Storefront(Protocol):
    """What a shop's model offers to its pages. A refusal is raised as ShopRefuses and shown."""

    display_name: str
    vendor: str

    def shown(self) -> Sequence[Shown]: ...

    def order_rows(self) -> Sequence[OrderRow]: ...

    def buy_one(self, product_id: str, units: int) -> str:
        """Place an order as a buyer does, paid at once; its number."""
        ...

    def act(self, order_id: str, verb: str) -> None: ...


def storefront_pages(shop: Storefront) -> Blueprint:
    """`/` with the products and `/orders`; every POST must come from these very pages."""
    pages = Blueprint("storefront", __name__)

    @pages.before_request
    def only_from_here() -> None:
        require_local_host(request.host)
        if request.method == "POST":
            require_same_origin(request.headers, request.host)

    @pages.get("/")
    def products() -> str:
        return _page("products", shop, products=shop.shown())

    @pages.get("/orders")
    def orders() -> str:
        return _page("orders", shop, orders=shop.order_rows())

    @pages.post("/buy")
    def buy() -> Response:
        number = shop.buy_one(_text("product"), _units())
        return redirect(f"/orders?{urlencode({'said': f'Order {number} placed'})}", 303)

    @pages.post("/orders/<order_id>")
    def act(order_id: str) -> Response:
        shop.act(order_id, _text("verb"))
        return redirect("/orders", 303)

    @pages.errorhandler(ShopRefuses)
    def refused(error: ShopRefuses) -> tuple[str, int]:
        return _page("refused", shop, why=str(error)), 409

    @pages.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[str, int]:
        return _page("refused", shop, why=error.description), error.code or 500

    return pages


def require_local_host(host: str) -> None:
    """A page of another name that resolves to this machine must not drive the shop (DNS rebinding)."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return
    try:
        ipaddress.ip_address(name)
    except ValueError as error:
        raise Forbidden("Open this shop by its address, not by a name.") from error


def require_same_origin(headers: Headers, host: str) -> None:
    """Browsers send Origin with every POST; where it is another page's, or missing, nothing happens."""
    origin = headers.get("Origin") or headers.get("Referer") or ""
    if urlsplit(origin).netloc != host:
        raise Forbidden("This form can only be sent from the shop's own pages.")


def _text(name: str) -> str:
    value = request.form.get(name, "")
    if not value:
        raise BadRequest(f"The field '{name}' is missing.")
    return value


def _units() -> int:
    text = request.form.get("units", "")
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= 1_000_000 and len(text) <= 7):
        raise BadRequest(f"Units must be a whole number from 1 to 1000000, not '{text[:40]}'.")
    return int(text)


def _page(view: str, shop: Storefront, **values: object) -> str:
    said = request.args.get("said", "")
    return render_template_string(_TEMPLATE, view=view, shop=shop, said=said, **values)


def random_secret(prefix: str, letters: int = 40) -> str:
    """A credential in a vendor's form: `prefix` and hex digits."""
    return prefix + secrets.token_hex((letters + 1) // 2)[:letters]


_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ shop.display_name }}</title>
<style>
:root { --ink: #1d2430; --soft: #667085; --line: #e4e7ec; --deep: #2f5fd0; --warn: #b42318; }
* { box-sizing: border-box }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #f7f8fa }
header { display: flex; gap: 1.5rem; align-items: baseline; padding: 1rem 1.5rem }
header { background: #fff; border-bottom: 1px solid var(--line) }
header h1 { font-size: 1.15rem; margin: 0 } header small { color: var(--soft) }
nav { margin-left: auto; display: flex; gap: 1rem } a { color: var(--deep); text-decoration: none }
a[aria-current] { color: var(--ink); font-weight: 600 }
main { max-width: 74rem; margin: 1.5rem auto; padding: 0 1rem }
table { width: 100%; border-collapse: collapse; background: #fff; border: 1px solid var(--line); border-radius: 8px }
th, td { text-align: left; padding: .5rem .8rem; border-bottom: 1px solid var(--line); vertical-align: middle }
th { font-size: .8rem; color: var(--soft); font-weight: 600 } tr:last-child td { border-bottom: 0 }
.figure { text-align: right; font-variant-numeric: tabular-nums } .out { color: var(--warn) }
code { font: .9em ui-monospace, monospace; color: var(--soft) }
th, td code, .number, .placed { white-space: nowrap } .placed, .soft { color: var(--soft); font-size: .9em }
tr { scroll-margin: 1rem }
form { display: inline-flex; gap: .4rem; margin: 0 .2rem .2rem 0 }
input[type=number] { width: 4.5rem; padding: .25rem .4rem; border: 1px solid var(--line) }
input, button { border-radius: 6px; font: inherit }
button { padding: .25rem .8rem; border: 1px solid var(--deep); background: #fff; color: var(--deep) }
button { cursor: pointer; white-space: nowrap }
button.main { background: var(--deep); color: #fff } button:disabled { opacity: .4; cursor: default }
.said, .refused { padding: .6rem 1rem; border-radius: 8px; background: #ecfdf3 }
.refused { background: #fef3f2; color: var(--warn) }
.state { padding: .1rem .5rem; border-radius: 1rem; background: #eef2ff; font-size: .85rem; white-space: nowrap }
ul { margin: 0; padding: 0; list-style: none }
</style></head><body>
<header><h1>{{ shop.display_name }}</h1><small>a local {{ shop.vendor }} shop, for rehearsal</small>
<nav><a href="/"{% if view == "products" %} aria-current="page"{% endif %}>Products</a>
<a href="/orders"{% if view == "orders" %} aria-current="page"{% endif %}>Orders</a></nav></header>
<main>
{% if said %}<p class="said" role="status">{{ said }}</p>{% endif %}
{% if view == "refused" %}<p class="refused" role="alert">{{ why }}</p><p><a href="/">Back to the products</a></p>
{% elif view == "products" %}
<table><thead><tr><th>Product</th><th>SKU</th><th class="figure">In stock</th><th>Buy</th></tr></thead><tbody>
{% for p in products %}<tr data-sku="{{ p.sku }}"><td>{{ p.title }}</td><td><code>{{ p.sku }}</code></td>
<td class="figure{% if p.figure is not none and p.figure <= 0 %} out{% endif %}">
{{- "not kept" if p.figure is none else p.figure }}</td>
<td><form method="post" action="/buy"><input type="hidden" name="product" value="{{ p.id }}">
<input type="number" name="units" value="1" min="1" max="1000000" aria-label="Units of {{ p.title }}">
<button class="main"{% if not p.buyable %} disabled{% endif %}>Buy</button></form></td></tr>
{% else %}<tr><td colspan="4">No products yet.</td></tr>{% endfor %}
</tbody></table>
{% else %}
<table><thead><tr><th>Order</th><th>Lines</th><th>State</th>
<th>As the buyer</th><th>As the seller</th></tr></thead><tbody>
{% for o in orders %}<tr data-order="{{ o.id }}"><td class="number">{{ o.number }}
<div class="placed">{{ o.placed }}</div></td>
<td><ul>{% for line in o.lines %}<li>{{ line }}</li>{% endfor %}
{% for remark in o.remarks %}<li class="soft">{{ remark }}</li>{% endfor %}</ul></td>
<td><span class="state">{{ o.state }}</span>{% if o.until %}<div class="soft">{{ o.until }}</div>{% endif %}</td>
{% for who in ("buyer", "seller") %}<td>{% for a in o.of(who) %}<form method="post" action="/orders/{{ o.id }}">
<input type="hidden" name="verb" value="{{ a.verb }}">
<button title="as the {{ a.who }}">{{ a.label }}</button></form>{% endfor %}</td>{% endfor %}</tr>
{% else %}<tr><td colspan="5">No orders yet.</td></tr>{% endfor %}
</tbody></table>
{% endif %}
</main></body></html>
"""
