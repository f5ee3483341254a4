"""The web side through its real door: HTTP on loopback, a real ledger, and a channel that signs with an HMAC."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from pydantic import SecretStr
from structlog.testing import capture_logs

from sheets_sync.channels import Channel, Delivery, RawRequest, Reply, Signal, SignalKind
from sheets_sync.channels.registry import build
from sheets_sync.config import ShopifySettings, WooCommerceSettings
from sheets_sync.errors import ConfigError, Malformed, NextPass, TooOld, Unavailable, Unsigned
from sheets_sync.ledger import Ledger
from sheets_sync.model import StoredDelivery
from webhook import create_app, serve
from webhook.shelf import Shelf

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
KEY = b"the shop's secret"
TOKEN = "the add-on's token"
MAX_BODY = 20_000


class TestShop:
    """A channel as far as webhooks go: an HMAC over the raw body, a replay window, a ping."""

    __test__ = False
    name, kind = "shop", "test"

    def handshake(self, request: RawRequest) -> Reply | None:
        return Reply(200, b"pong") if request.body == b"ping" else None

    def verify(self, request: RawRequest) -> Delivery:
        said = (request.header("X-Signature") or "").encode()  # compare_digest takes no text beyond ASCII
        if not hmac.compare_digest(said, signature(request.body).encode()):
            raise Unsigned("X-Signature does not fit the body")
        sent_at = datetime.fromisoformat(request.header("X-Sent-At") or NOW.isoformat())
        if NOW - sent_at > timedelta(hours=1):
            raise TooOld(f"sent at {sent_at}")
        try:
            json.loads(request.body)
        except ValueError as error:
            raise Malformed("the body is not JSON") from error
        return Delivery(request.header("X-Delivery") or "", request.header("X-Topic") or "", sent_at)

    def signals(self, request: RawRequest) -> Sequence[Signal]:
        return ()


def signature(body: bytes) -> str:
    return base64.b64encode(hmac.digest(KEY, body, hashlib.sha256)).decode()


@dataclass
class Service:
    """What stands behind the door, and what it was told."""

    ledger: Ledger
    url: str = ""
    applied: list[tuple[str, StoredDelivery]] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)
    on_apply: Callable[[], None] = lambda: None

    def apply(self, channel: str, delivery: StoredDelivery) -> None:
        self.on_apply()
        self.applied.append((channel, delivery))

    def post(self, body: bytes, path: str = "/webhooks/shop", **headers: str) -> requests.Response:
        signed = {"X-Signature": signature(body), "X-Delivery": "d-1", "X-Topic": "order.created"}
        sent = signed | {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(self.url + path, data=body, headers=sent, timeout=10)

    def stored(self) -> list[StoredDelivery]:
        with self.ledger.read() as view:
            return view.deliveries()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    yield from running_service(tmp_path, TestShop())  # type: ignore[arg-type]


def running_service(folder: Path, *channels: Channel) -> Iterator[Service]:
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
    made = Service(ledger)
    app = create_app(
        ledger,
        {channel.name: channel for channel in channels},
        apply=made.apply,
        wake=made.woken.append,
        hint_token=TOKEN,
        clock=lambda: NOW,
        max_body=MAX_BODY,
    )
    with serve(app) as running:
        made.url = running.url
        yield made
    ledger.close()


def raw(service: Service, request: bytes) -> bytes:
    """Send exactly these bytes, and read until the server hangs up."""
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# taken ----------------------------------------------------------------------------------------------------------


def test_a_delivery_is_stored_as_it_came_and_applied(service: Service) -> None:
    body = '{"id": 7, "name": "Müller", "note":  "two  spaces"}'.encode()
    with capture_logs() as logs:
        answer = service.post(body, Authorization="Basic c2VjcmV0", Cookie="a=b")
    assert answer.status_code == 200
    [stored] = service.stored()
    assert (stored.channel, stored.id, stored.topic) == ("shop", "d-1", "order.created")
    assert (stored.body, stored.received_at, stored.state) == (body, NOW, "waiting")
    assert not {"authorization", "cookie"} & {name.lower() for name in stored.headers}
    assert [(channel, d.id, d.body) for channel, d in service.applied] == [("shop", "d-1", body)]
    assert [line["event"] for line in logs] == ["delivery: applied"]
    assert "Müller" not in str(logs) and "c2VjcmV0" not in str(logs)


def test_what_is_kept_verifies_again(service: Service) -> None:
    service.post(b'{"id": 1}')
    [stored] = service.stored()
    again = RawRequest("POST", "", stored.headers, stored.body)
    assert TestShop().verify(again).id == "d-1"


def test_a_handshake_is_answered_and_nothing_is_stored(service: Service) -> None:
    answer = service.post(b"ping", X_Signature="")
    assert (answer.status_code, answer.content) == (200, b"pong")
    assert service.stored() == [] and service.applied == []


def test_replayed_is_answered_200_and_nothing_happens_again(service: Service) -> None:
    with capture_logs() as logs:
        answers = [service.post(b"{}") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len(service.stored()) == len(service.applied) == 1
    assert [line["event"] for line in logs] == ["delivery: applied"] + ["delivery: had it already"] * 2


def test_the_same_delivery_many_times_at_one_instant_is_one(service: Service) -> None:
    together = threading.Barrier(8)

    def send() -> int:
        together.wait(timeout=10)
        return service.post(b"{}").status_code

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result() for future in [pool.submit(send) for _ in range(8)]]
    assert answers == [200] * 8
    assert len(service.stored()) == len(service.applied) == 1


def test_many_deliveries_at_once_are_all_kept(service: Service) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: service.post(b"{}", X_Delivery=f"d-{n}").status_code, range(100)))
    assert answers == [200] * 100
    assert len(service.stored()) == len({d.id for _, d in service.applied}) == 100


# not applied, but kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "event"), [(NextPass, "kept for the next pass"), (ZeroDivisionError, "a bug of ours")]
)
def test_what_cannot_be_applied_waits_for_the_next_pass(service: Service, error: type[Exception], event: str) -> None:
    def fail() -> None:
        raise error("not now")

    service.on_apply = fail
    with capture_logs() as logs:
        answer = service.post(b"{}")
    assert answer.status_code == 200
    assert [stored.state for stored in service.stored()] == ["waiting"]
    assert len(logs) == 1 and event in logs[0]["event"]


# stored together -----------------------------------------------------------------------------------------------


def test_what_waits_is_stored_in_one_transaction(tmp_path: Path) -> None:
    """While one is being stored ten more come: two transactions, and everyone is told the truth about theirs."""
    ledger = Counting(Ledger.open(f"sqlite:///{tmp_path}/ledger.db"))
    shelf = Shelf(ledger)  # type: ignore[arg-type]
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(shelf.store, delivery("a"))
        assert ledger.storing.wait(10)
        others = [pool.submit(shelf.store, delivery(id)) for id in "abcdefghij"]
        wait_until(lambda: len(shelf._waiting) == 10)
        ledger.go_on.set()
        assert first.result(10) is True
        assert [other.result(10) for other in others] == [False] + [True] * 9
    assert ledger.begun == 2
    ledger.real.close()


def test_one_that_cannot_be_stored_does_not_spoil_the_others(tmp_path: Path) -> None:
    ledger = Counting(Ledger.open(f"sqlite:///{tmp_path}/ledger.db"), refuses="bad")
    shelf = Shelf(ledger)  # type: ignore[arg-type]
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(shelf.store, delivery("a"))
        assert ledger.storing.wait(10)
        others = {id: pool.submit(shelf.store, delivery(id)) for id in ("b", "bad", "c")}
        wait_until(lambda: len(shelf._waiting) == 3)
        ledger.go_on.set()
        assert first.result(10) and others["b"].result(10) and others["c"].result(10)
        with pytest.raises(Unavailable):
            others["bad"].result(10)
    with ledger.real.read() as view:
        assert {d.id for d in view.deliveries()} == {"a", "b", "c"}
    ledger.real.close()


def delivery(id: str) -> StoredDelivery:
    return StoredDelivery("shop", id, "order.created", {}, b"{}", NOW)


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


class Counting:
    """A real ledger whose first transaction waits to be told to go on."""

    def __init__(self, real: Ledger, refuses: str = "") -> None:
        self.real, self.refuses, self.begun = real, refuses, 0
        self.storing, self.go_on = threading.Event(), threading.Event()

    @contextmanager
    def begin(self) -> Iterator[Counting]:
        self.begun += 1
        self.storing.set()
        assert self.go_on.wait(10)
        with self.real.begin() as self._tx:
            yield self

    def store_delivery(self, delivery: StoredDelivery) -> bool:
        if delivery.id == self.refuses:
            raise Unavailable("not this one")
        return self._tx.store_delivery(delivery)


# refused: the right status, one clear line, nothing changed -----------------------------------------------------


@pytest.mark.parametrize(
    ("case", "status", "event"),
    [
        ({"X_Signature": "bm90IGl0"}, 401, "delivery: unsigned"),
        ({"X_Signature": ""}, 401, "delivery: unsigned"),
        ({"X_Signature": "ünsigned".encode().decode("latin-1")}, 401, "delivery: unsigned"),
        ({"body": b"{}", "X_Sent_At": "2026-11-25T09:00:00+00:00"}, 400, "delivery: stale"),
        ({"body": b"{not json"}, 400, "delivery: malformed"),
        ({"X_Delivery": ""}, 400, "delivery: malformed"),
        ({"path": "/webhooks/another"}, 404, "delivery: for no channel of ours"),
        ({"body": b"x" * (MAX_BODY + 1)}, 413, "request: too long"),
    ],
)
def test_refused(service: Service, case: dict[str, Any], status: int, event: str) -> None:
    arguments = {"body": b"{}"} | case
    with capture_logs() as logs:
        answer = service.post(**arguments)
    assert answer.status_code == status
    assert [line["event"] for line in logs] == [event]
    assert service.stored() == [] and service.applied == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405(service: Service, method: str) -> None:
    answer = requests.request(method, f"{service.url}/webhooks/shop", timeout=10)
    assert answer.status_code == 405 and "POST" in answer.headers["Allow"]


def test_too_long_is_said_before_any_of_it_is_read(service: Service) -> None:
    """A gigabyte is announced and never sent."""
    head = b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    assert raw(service, head).startswith(b"HTTP/1.1 413")
    nowhere = head.replace(b"/webhooks/shop", b"/webhooks/another")
    assert raw(service, nowhere).startswith(b"HTTP/1.1 413")


def test_too_long_in_pieces_is_not_read_to_its_end(service: Service) -> None:
    head = b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    assert raw(service, head + piece * (MAX_BODY // 0x1000 + 1)).startswith(b"HTTP/1.1 413")
    assert service.stored() == []


def test_a_body_in_pieces_is_read_whole(service: Service) -> None:
    body = b'{"pieces": 2}'
    answer = requests.post(
        f"{service.url}/webhooks/shop",
        data=iter([body[:5], body[5:]]),
        headers={"X-Signature": signature(body), "X-Delivery": "d-1"},
        timeout=10,
    )
    assert answer.status_code == 200 and service.stored()[0].body == body


def test_a_sender_that_hangs_up_half_way_leaves_nothing(service: Service) -> None:
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert service.post(b"{}").status_code == 200
    assert [stored.body for stored in service.stored()] == [b"{}"]


def test_while_the_ledger_is_away_the_vendor_is_asked_to_send_again(service: Service, tmp_path: Path) -> None:
    service.ledger.close()
    for file in tmp_path.glob("ledger.db*"):
        shutil.move(file, tmp_path / f"away-{file.name}")
    (tmp_path / "ledger.db").mkdir()
    with capture_logs() as logs:
        answer = service.post(b"{}")
        health = requests.get(f"{service.url}/healthz", timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"], health.status_code) == (503, "30", 503)
    assert logs[0]["event"].startswith("delivery: the ledger is away") and service.applied == []

    (tmp_path / "ledger.db").rmdir()
    for file in tmp_path.glob("away-*"):
        shutil.move(file, tmp_path / file.name.removeprefix("away-"))
    assert service.post(b"{}").status_code == 200
    assert len(service.stored()) == len(service.applied) == 1


# what real shops sent -------------------------------------------------------------------------------------------


@pytest.fixture
def web_shop(tmp_path: Path) -> Iterator[tuple[Service, Channel]]:
    channel = build(
        WooCommerceSettings(
            name="web",
            title="Web",
            base_url="http://127.0.0.1:9",
            consumer_key=SecretStr("ck"),
            consumer_secret=SecretStr("cs"),
            webhook_secret=SecretStr("hook-secret"),
        )
    )
    for service in running_service(tmp_path, channel):
        yield service, channel
    channel.close()


def recorded_by_woocommerce(shared: Path, pattern: str = "*") -> list[bytes]:
    """Requests byte by byte as a real WooCommerce made them, to our address of the channel."""
    folder = shared / "conformance" / "channels" / "woocommerce" / "recorded" / "webhooks"
    found = [path.read_bytes() for path in sorted(folder.glob(f"{pattern}.http"))]
    if not found:
        pytest.skip(f"no recorded deliveries in {folder}")
    return [re.sub(rb"^POST \S+", b"POST /webhooks/web", one, count=1) for one in found]


def test_what_a_real_woocommerce_sent_is_verified_and_stored_once(
    web_shop: tuple[Service, Channel], shared: Path
) -> None:
    service, channel = web_shop
    sent = recorded_by_woocommerce(shared)
    for _ in range(2):
        assert {raw(service, one)[:12] for one in sent} == {b"HTTP/1.1 200"}
    signed = {one.partition(b"\r\n\r\n")[2] for one in sent if b"X-WC-Webhook-Signature" in one}
    stored = service.stored()
    assert {d.body for d in stored} == signed
    assert len({d.id for d in stored}) == len(stored) == len(service.applied)
    for delivery in stored:
        again = RawRequest("POST", "", delivery.headers, delivery.body)
        assert channel.verify(again).id == delivery.id
        kinds = {signal.kind for signal in channel.signals(again)}
        assert (SignalKind.ORDER in kinds) == (delivery.topic.startswith("order.") and b'"id"' in delivery.body)


def test_a_real_unsigned_ping_is_answered_and_not_stored(web_shop: tuple[Service, Channel], shared: Path) -> None:
    service, _ = web_shop
    for ping in recorded_by_woocommerce(shared, "ping*"):
        assert raw(service, ping).startswith(b"HTTP/1.1 200")
    assert service.stored() == []


def test_a_real_error_body_as_order_created_is_survived(web_shop: tuple[Service, Channel], shared: Path) -> None:
    service, channel = web_shop
    for one in recorded_by_woocommerce(shared, "order_created*"):
        assert raw(service, one).startswith(b"HTTP/1.1 200")
    [stored] = service.stored()
    assert b"woocommerce_rest_shop_order_invalid_id" in stored.body
    signals = channel.signals(RawRequest("POST", "", stored.headers, stored.body))
    assert [s for s in signals if s.kind is not SignalKind.OTHER] == []


def test_a_real_delivery_changed_by_one_byte_is_refused(web_shop: tuple[Service, Channel], shared: Path) -> None:
    service, _ = web_shop
    for one in recorded_by_woocommerce(shared, "order_*"):
        assert raw(service, one[:-2] + b" }").startswith(b"HTTP/1.1 401")
    assert service.stored() == []


@pytest.mark.parametrize("said", ["", "not base64!", "ü".encode().decode("latin-1"), "AAAA"])
def test_no_signature_makes_a_real_adapter_stumble(web_shop: tuple[Service, Channel], said: str) -> None:
    service, _ = web_shop
    assert service.post(b"{}", "/webhooks/web", X_WC_Webhook_Signature=said).status_code == 401
    assert service.stored() == []


def shopify(key: str, at: datetime) -> Channel:
    settings = ShopifySettings(name="shop", title="Shop", shop="shop1.myshopify.com", client_secret=SecretStr(key))
    return build(settings, clock=lambda: at)


@pytest.mark.parametrize("style", ["headers_2023_style", "headers_events_style"])
def test_shopifys_own_vectors(tmp_path: Path, shared: Path, style: str) -> None:
    vectors = json.loads((shared / "conformance/channels/shopify/hmac_vectors.json").read_text())["vectors"]
    headers = next(v[style] for v in vectors if style in v)
    at = datetime.fromisoformat(headers.get("shopify-triggered-at", NOW.isoformat()))
    signed_by = "shopify-hmac-sha256" if style == "headers_events_style" else "X-Shopify-Hmac-Sha256"
    channel = shopify(vectors[0]["secret"], at)
    for service in running_service(tmp_path, channel):
        for vector in vectors:
            sent = headers | {signed_by: vector["signature"]}
            status = requests.post(f"{service.url}/webhooks/shop", vector["body"], headers=sent, timeout=10).status_code
            assert status == (200 if vector["valid"] else 401)
        [stored] = service.stored()
        assert (stored.body, stored.id) == (b'{"foo": "bar"}', "123456789")
    channel.close()


def test_a_shopify_delivery_from_last_week_is_refused(tmp_path: Path, shared: Path) -> None:
    vector = json.loads((shared / "conformance/channels/shopify/hmac_vectors.json").read_text())["vectors"][0]
    headers = vector["headers_events_style"] | {"shopify-hmac-sha256": vector["signature"]}
    late = datetime.fromisoformat(headers["shopify-triggered-at"]) + timedelta(days=7)
    channel = shopify(vector["secret"], late)
    for service in running_service(tmp_path, channel):
        answer = requests.post(f"{service.url}/webhooks/shop", vector["body"], headers=headers, timeout=10)
        assert answer.status_code == 400 and service.stored() == []
    channel.close()


# edit notifications ---------------------------------------------------------------------------------------------


def edited(service: Service, **headers: str) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{service.url}/sheet/edited", json={"range": "F7"}, headers=sent, timeout=10)


def test_an_edit_notification_wakes_the_sheet(service: Service) -> None:
    assert edited(service, X_Sheets_Sync_Token=TOKEN).status_code == 204
    assert service.woken == ["sheet"]


@pytest.mark.parametrize("headers", [{}, {"X_Sheets_Sync_Token": "another"}, {"X_Sheets_Sync_Token": "\xfc"}])
def test_an_edit_notification_without_the_token_is_not_heard(service: Service, headers: dict[str, str]) -> None:
    with capture_logs() as logs:
        assert edited(service, **headers).status_code == 401
    assert service.woken == []
    assert TOKEN not in str(logs) and "another" not in logs[0].get("token", "")


def test_without_a_token_in_the_config_no_notification_is_heard(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    woken: list[str] = []
    app = create_app(ledger, {}, apply=lambda *_: None, wake=woken.append)
    client = app.test_client()
    assert client.post("/sheet/edited", headers={"X-Sheets-Sync-Token": ""}).status_code == 401
    assert client.post("/sheet/edited").status_code == 401
    assert client.get("/sheet/edited").status_code == 405
    assert woken == []
    ledger.close()


# pages about us -------------------------------------------------------------------------------------------------


def test_health_metrics_and_status(service: Service) -> None:
    def value(text: str) -> float:
        line = 'sheets_sync_deliveries_total{channel="shop",outcome="applied"} '
        return next((float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line)), 0.0)

    before = requests.get(f"{service.url}/metrics", timeout=10).text
    service.post(b"{}")
    after = requests.get(f"{service.url}/metrics", timeout=10).text
    assert value(after) - value(before) == 1
    assert requests.get(f"{service.url}/healthz", timeout=10).text == "ok\n"
    page = requests.get(service.url, timeout=10)
    assert page.status_code == 200 and "/webhooks/shop" in page.text
    assert requests.get(f"{service.url}/nothing", timeout=10).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_pages_about_us_are_not_for_the_world(service: Service, header: str) -> None:
    for path, status in {"/": 404, "/metrics": 404, "/healthz": 200}.items():
        assert requests.get(service.url + path, headers={header: "1.2.3.4"}, timeout=10).status_code == status


# the server -----------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_a_problem_of_the_config(service: Service) -> None:
    port = urlsplit(service.url).port
    assert port is not None
    with pytest.raises(ConfigError, match=f"port {port}"):
        serve(lambda environ, start_response: [], port=port)


def test_it_stops_answering_when_closed_and_may_be_closed_twice(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    running = serve(create_app(ledger, {}, apply=lambda *_: None, wake=lambda _: None))
    assert requests.get(f"{running.url}/healthz", timeout=10).status_code == 200
    running.close()
    running.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{running.url}/healthz", timeout=2)
    ledger.close()
