"""What a channel promises, whatever the vendor: one suite, inherited by each adapter (STYLE.md 9, 23).

A channel's own test file gives a `Counter` (the shop behind its counter: buyers, sellers, faults) as the fixture
`counter`, and its recorded payloads. Everything goes over real HTTP to that vendor's local shop.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
import stamina
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from sheets_sync.channels import Basis, Channel, Outcome, Proof, RawRequest, SignalKind, Target, all_pages
from sheets_sync.errors import CredentialsRefused, DeliveryRefused, Malformed, OutcomeUnknown, SheetsSyncError, Unsigned
from sheets_sync.model import Order, OrderLine, OrderState, Ref, RemoteListing
from sheets_sync.sandbox.shops._common import Answer, Drop, HttpServer, Running, Seen

AWKWARD = ("00123", "1-2", "MAR1", "1E5", "Größe-Ü", "=SUM(A1)")
"""SKUs that spreadsheets and careless code turn into something else."""

PATIENCE = 10.0
"""Seconds that a test waits for something that must happen."""


class Receiver:
    """A web server that keeps what it is sent, as the webhook app would get it."""

    def __init__(self) -> None:
        self.status = 200
        self._got: list[RawRequest] = []
        self._changed = threading.Condition()
        self._server = HttpServer(self._app)
        self.url = self._server.base_url

    def _app(self, environ, start_response):  # type: ignore[no-untyped-def]
        request = Request(environ)
        raw = RawRequest(request.method, request.url, dict(request.headers), request.get_data())
        with self._changed:
            self._got.append(raw)
            self._changed.notify_all()
        return Response(status=self.status)(environ, start_response)

    def wait(self, enough: Callable[[Sequence[RawRequest]], bool]) -> list[RawRequest]:
        """What has come in, once it is `enough`."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self._got), PATIENCE), f"only {len(self._got)} came in"
            return list(self._got)

    def forget(self) -> None:
        with self._changed:
            self._got.clear()

    def close(self) -> None:
        self._server.close()


@dataclass
class Counter(ABC):
    """One vendor's local shop, as buyers, sellers and bad luck see it. Order ids are the channel's, as text."""

    running: Running
    channel: Channel
    can_delete = True  # the vendor lets sellers delete orders

    @abstractmethod
    def another(self, **credentials: str) -> Channel:
        """The channel again, with other credentials: `wrong="yes"`, `webhook_secret=`, `old_webhook_secret=`."""

    @abstractmethod
    def add(self, sku: str, title: str, stock: int) -> None: ...

    def set_barcode(self, sku: str, barcode: str) -> None:
        """As the seller types it for that product."""
        self.running.shop.set_barcode(sku, barcode)

    @abstractmethod
    def figure(self, sku: str) -> int | None: ...

    @abstractmethod
    def buy(self, sku: str, units: int) -> str:
        """A buyer orders and pays."""

    @abstractmethod
    def ship(self, order: str) -> None: ...

    @abstractmethod
    def cancel(self, order: str) -> None:
        """Before it was shipped; the shop puts the units back."""

    @abstractmethod
    def delete(self, order: str) -> None: ...

    @abstractmethod
    def webhook_secret(self) -> str:
        """What deliveries are signed with now."""

    @abstractmethod
    def resign(self, request: RawRequest, body: bytes) -> RawRequest:
        """The delivery with another body, signed well."""

    @abstractmethod
    def settle(self) -> None:
        """Wait until the shop has delivered what it has to deliver."""

    def missing_ref(self) -> Ref:
        """A listing that the shop does not have."""
        return Ref("99999999")

    def is_write(self, seen: Seen) -> bool:
        """Whether a request writes figures."""
        return seen.method in ("POST", "PUT")

    # what tests ask for again and again

    def listing(self, sku: str) -> RemoteListing:
        return {listing.sku: listing for listing in all_pages(self.channel.listings)}[sku]

    def target(self, sku: str, figure: int, expected: int | None = None, key: str = "") -> Target:
        return Target(self.listing(sku).ref, figure, expected, key or f"{sku}-{figure}")

    def orders(self, since: datetime) -> dict[str, Order]:
        """By id; pages may share orders."""
        return {o.id: o for o in all_pages(lambda cursor: self.channel.orders(since, cursor))}

    def one_line(self, order: str) -> OrderLine:
        (line,) = self.channel.order(order).lines
        return line

    @contextmanager
    def faults(self, decide: Callable[[Seen], Answer | Drop | None]) -> Iterator[list[Seen]]:
        """Every request meanwhile, each given to `decide` first."""
        seen: list[Seen] = []

        def hook(request: Seen) -> Answer | Drop | None:
            seen.append(request)
            return decide(request)

        self.running.middleware = hook
        try:
            yield seen
        finally:
            self.running.middleware = None


def once(
    action: Answer | Drop, wanted: Callable[[Seen], bool] = lambda seen: True
) -> Callable[[Seen], Answer | Drop | None]:
    """Do `action` to the first request that is `wanted`."""
    left = [action]
    return lambda seen: left.pop() if left and wanted(seen) else None


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


class ChannelContract:
    """Inherit it, and give the fixture `counter`."""

    @pytest.fixture
    def counter(self) -> Iterator[Counter]:
        raise NotImplementedError("a channel's test file gives its own counter")
        yield

    @pytest.fixture(autouse=True)
    def no_waiting_between_retries(self) -> Iterator[None]:
        with stamina.set_testing(True, attempts=3):
            yield

    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        receiver = Receiver()
        yield receiver
        receiver.close()

    # listings and figures

    def test_every_listing_with_its_sku_as_text(self, counter: Counter) -> None:
        for i, sku in enumerate(AWKWARD):
            counter.add(sku, f"Title of {i}", i)
        listings = {x.sku: x for x in all_pages(counter.channel.listings)}
        assert [(sku, listings[sku].shows) for sku in AWKWARD] == [(sku, i) for i, sku in enumerate(AWKWARD)]
        assert all(listings[sku].pushable for sku in AWKWARD)
        assert len({x.ref for x in listings.values()}) == len(listings)

    def test_titles_come_as_people_wrote_them(self, counter: Counter) -> None:
        title = '=IMPORTXML("x") & Löffel <b>"4" groß</b>'
        counter.add("T", title, 1)
        assert counter.listing("T").title == title

    def test_listings_over_several_pages_come_all_of_them(self, counter: Counter) -> None:
        skus = {f"P-{i:03}" for i in range(260)}
        for sku in skus:
            counter.add(sku, sku, 1)
        assert {x.sku for x in all_pages(counter.channel.listings)} >= skus

    def test_figures_are_answered_in_order_and_none_where_gone(self, counter: Counter) -> None:
        counter.add("A", "A", 3)
        counter.add("B", "B", 5)
        refs = [counter.listing("B").ref, counter.missing_ref(), counter.listing("A").ref]
        figures = counter.channel.figures(refs)
        assert [f.ref for f in figures] == refs
        assert [f.shows for f in figures] == [5, None, 3]
        assert list(counter.channel.figures([])) == []

    def test_an_oversold_figure_is_read_as_it_is(self, counter: Counter) -> None:
        counter.add("A", "A", 3)
        counter.running.shop.set_figure("A", -2)
        assert counter.channel.figures([counter.listing("A").ref])[0].shows == -2

    def test_a_listing_comes_with_its_barcode(self, counter: Counter) -> None:
        counter.add("A", "A", 3)
        counter.add("B", "B", 3)
        counter.set_barcode("A", "4006381333931")
        assert (counter.listing("A").barcode, counter.listing("B").barcode) == ("4006381333931", "")

    # pushing

    def test_a_push_gives_a_result_for_each_target_in_order(self, counter: Counter) -> None:
        for i in range(5):
            counter.add(f"S{i}", f"S{i}", 1)
        targets = [counter.target(f"S{i}", 10 + i, expected=1) for i in (3, 0, 4, 1, 2)]
        results = counter.channel.push(targets)
        assert [r.ref for r in results] == [t.ref for t in targets]
        assert {r.outcome for r in results} == {Outcome.APPLIED}
        assert [counter.figure(f"S{i}") for i in range(5)] == [10, 11, 12, 13, 14]
        assert list(counter.channel.push([])) == []

    def test_one_refused_listing_of_250_spoils_no_other(self, counter: Counter) -> None:
        for i in range(249):
            counter.add(f"S{i:03}", f"S{i:03}", 1)
        refs = [x.ref for x in {x.ref: x for x in all_pages(counter.channel.listings)}.values()]
        refs.insert(100, counter.missing_ref())
        targets = [Target(ref, 7, 1, f"k{i}") for i, ref in enumerate(refs)]
        results = counter.channel.push(targets)
        assert [r.ref for r in results] == refs
        assert results[100].outcome is Outcome.REFUSED and results[100].why
        assert {r.outcome for i, r in enumerate(results) if i != 100} == {Outcome.APPLIED}
        assert all(counter.figure(f"S{i:03}") == 7 for i in range(249))

    def test_a_write_whose_answer_is_lost_is_unknown_and_not_sent_again(self, counter: Counter) -> None:
        counter.add("A", "A", 1)
        target = counter.target("A", 9, expected=1)
        with counter.faults(once(Drop(applied=True), counter.is_write)) as seen:
            (result,) = counter.channel.push([target])
        assert result.outcome is Outcome.UNKNOWN
        assert sum(counter.is_write(s) for s in seen) == 1
        assert counter.figure("A") == 9

    @pytest.mark.parametrize("applied", [False, True])
    def test_a_write_answered_503_is_unknown_and_not_sent_again(self, counter: Counter, applied: bool) -> None:
        counter.add("A", "A", 1)
        target = counter.target("A", 9, expected=1)
        with counter.faults(once(Answer(503, applied=applied), counter.is_write)) as seen:
            (result,) = counter.channel.push([target])
        assert result.outcome is Outcome.UNKNOWN
        assert sum(counter.is_write(s) for s in seen) == 1
        assert counter.figure("A") == (9 if applied else 1)

    def test_a_write_that_came_too_soon_says_when_to_retry(self, counter: Counter) -> None:
        counter.add("A", "A", 1)
        target = counter.target("A", 9, expected=1)
        with counter.faults(once(Answer(429, {"Retry-After": "7"}), counter.is_write)):
            (result,) = counter.channel.push([target])
        assert (result.outcome, result.retry_after) == (Outcome.RETRY, 7.0)
        assert counter.figure("A") == 1

    def test_P6_compare_and_set_finds_a_sale_nobody_has_told_us(self, counter: Counter) -> None:
        if not counter.channel.capabilities.compare_and_set:
            pytest.skip(f"{counter.channel.kind} has no compare-and-set")
        counter.add("A", "A", 10)
        counter.add("B", "B", 10)
        targets = [counter.target("A", 9, expected=10), counter.target("B", 9, expected=10)]
        counter.buy("A", 4)
        stale, good = counter.channel.push(targets)
        assert stale.outcome is Outcome.STALE and stale.actual in (None, 6)
        assert good.outcome is Outcome.APPLIED
        assert (counter.figure("A"), counter.figure("B")) == (6, 9)

    # reading through faults

    def test_a_read_is_made_again_after_a_fault(self, counter: Counter) -> None:
        counter.add("A", "A", 3)
        ref = counter.listing("A").ref
        for fault in (Drop(), Answer(503), Answer(502, body=b"<html>"), Answer(429, {"Retry-After": "0"})):
            with counter.faults(once(fault)) as seen:
                assert counter.channel.figures([ref])[0].shows == 3
            assert len(seen) >= 2

    def test_a_shop_that_is_down_is_asked_a_few_times_only(self, counter: Counter) -> None:
        counter.add("A", "A", 3)
        ref = counter.listing("A").ref
        with counter.faults(lambda seen: Answer(503)) as seen, pytest.raises(SheetsSyncError):
            counter.channel.figures([ref])
        assert 1 < len(seen) <= 5

    # orders

    def test_P1_a_sale_is_a_level_with_what_the_shop_took(self, counter: Counter) -> None:
        counter.add("A", "A", 10)
        began = datetime.now(UTC)
        order = counter.channel.order(counter.buy("A", 2))
        (line,) = order.lines
        assert (line.sku, line.ordered, line.sent, line.cancelled, line.returned) == ("A", 2, 0, 0, 0)
        assert line.ref is not None and line.ref.listing == counter.listing("A").ref.listing
        assert order.state is OrderState.OPEN and order.paid and not order.note
        assert began - timedelta(seconds=2) <= order.placed_at <= order.updated_at
        assert order.read_at is not None and order.read_at.tzinfo is not None
        if counter.channel.capabilities.basis is Basis.AVAILABLE:
            assert (line.taken, counter.figure("A")) == (2, 8)
            assert line.taken_at is None or line.taken_at >= began - timedelta(seconds=2)

    def test_shipped_carries_the_channels_own_time(self, counter: Counter) -> None:
        counter.add("A", "A", 10)
        order = counter.buy("A", 2)
        began = datetime.now(UTC)
        counter.ship(order)
        line = counter.one_line(order)
        assert [s.units for s in line.shipped] == [2]
        assert abs(line.shipped[0].at - began) < timedelta(seconds=5)
        assert counter.channel.order(order).state is OrderState.DONE

    def test_O2_cancelled_before_shipping_comes_back_by_itself(self, counter: Counter) -> None:
        counter.add("A", "A", 10)
        order = counter.buy("A", 2)
        counter.cancel(order)
        line = counter.one_line(order)
        assert (line.ordered, line.cancelled, line.freely, line.sent, line.taken) == (2, 2, True, 0, 0)
        assert counter.channel.order(order).state is OrderState.CANCELLED
        assert counter.figure("A") == 10

    def test_orders_since_gives_every_order_changed_since(self, counter: Counter) -> None:
        counter.add("A", "A", 1000)
        bought = {counter.buy("A", 1) for _ in range(3)}
        counter.ship(next(iter(bought)))
        found = counter.orders(an_hour_ago())
        assert bought <= found.keys()
        assert counter.orders(datetime.now(UTC) + timedelta(days=1)).keys().isdisjoint(bought)

    def test_orders_over_several_pages_come_all_of_them(self, counter: Counter) -> None:
        counter.add("A", "A", 1000)
        bought = {counter.buy("A", 1) for _ in range(130)}
        assert bought <= counter.orders(an_hour_ago()).keys()

    def test_P4_read_at_lies_before_the_request(self, counter: Counter) -> None:
        counter.add("A", "A", 10)
        order = counter.buy("A", 1)
        asked: list[datetime] = []
        with counter.faults(lambda seen: asked.append(datetime.now(UTC))):
            listed = counter.orders(an_hour_ago())[order]
            alone = counter.channel.order(order)
        assert listed.read_at is not None and alone.read_at is not None
        assert listed.read_at <= asked[0] and alone.read_at <= asked[-1]

    def test_a_list_and_a_single_order_say_the_same(self, counter: Counter) -> None:
        counter.add("A", "A", 10)
        order = counter.buy("A", 3)
        counter.ship(order)
        listed = counter.orders(an_hour_ago())[order]
        assert replace(listed, read_at=None) == replace(counter.channel.order(order), read_at=None)

    def test_O9_an_order_that_is_not_there_is_gone(self, counter: Counter) -> None:
        counter.add("A", "A", 10)
        order = counter.buy("A", 1)
        if counter.can_delete:
            counter.delete(order)
        else:
            order = counter.missing_ref().listing
        gone = counter.channel.order(order)
        assert (gone.state, gone.lines, gone.id) == (OrderState.GONE, (), order)

    # deliveries

    def hooked(self, counter: Counter, receiver: Receiver) -> list[RawRequest]:
        """Real deliveries: subscribed, a sale made, what came in for it."""
        counter.add("HOOK", "Hook", 10)
        counter.channel.ensure_hooks(receiver.url)
        counter.settle()
        receiver.forget()
        counter.buy("HOOK", 2)
        counter.settle()
        return [r for r in receiver.wait(lambda got: len(got) >= 1) if counter.channel.handshake(r) is None]

    def test_a_real_delivery_is_verified_and_signals_its_order(self, counter: Counter, receiver: Receiver) -> None:
        deliveries = self.hooked(counter, receiver)
        ids = {counter.channel.verify(r).id for r in deliveries}
        assert deliveries and len(ids) == len(deliveries)
        (order,) = counter.orders(an_hour_ago())
        signals = [s for r in deliveries for s in counter.channel.signals(r) if s.kind is SignalKind.ORDER]
        assert {s.id for s in signals} == {order}

    def test_a_level_in_a_delivery_is_the_level_that_is_read(self, counter: Counter, receiver: Receiver) -> None:
        deliveries = self.hooked(counter, receiver)
        inline = [s.order for r in deliveries for s in counter.channel.signals(r) if s.order is not None]
        for level in inline:
            assert level.read_at is None
            read = counter.channel.order(level.id)
            if level.updated_at == read.updated_at:
                assert replace(read, read_at=None) == level

    def test_a_delivery_tampered_with_is_refused(self, counter: Counter, receiver: Receiver) -> None:
        """Without its proof it is refused. What a signature vouches for may not be changed; what only a key came with
        is never believed.
        """
        delivery = self.hooked(counter, receiver)[0]
        wrong = {name: value + "x" for name, value in delivery.headers.items()}
        for headers in ({}, wrong, dict.fromkeys(delivery.headers, "é")):
            with pytest.raises(Unsigned):
                counter.channel.verify(replace(delivery, headers=headers))
        if counter.channel.capabilities.proof is Proof.KEY:
            assert not [s for s in counter.channel.signals(delivery) if s.order is not None]
            return
        for body in (delivery.body + b" ", b""):
            with pytest.raises(Unsigned):
                counter.channel.verify(replace(delivery, body=body))

    def test_header_names_may_come_in_any_case(self, counter: Counter, receiver: Receiver) -> None:
        delivery = self.hooked(counter, receiver)[0]
        lower = replace(delivery, headers={k.lower(): v for k, v in delivery.headers.items()})
        assert counter.channel.verify(lower) == counter.channel.verify(delivery)

    def test_the_old_secret_is_accepted_while_it_changes(self, counter: Counter, receiver: Receiver) -> None:
        delivery = self.hooked(counter, receiver)[0]
        secret = counter.webhook_secret()
        rotated = counter.another(webhook_secret="another-secret", old_webhook_secret=secret)
        assert rotated.verify(delivery) == counter.channel.verify(delivery)
        rotated.close()
        strangers = counter.another(webhook_secret="another-secret", old_webhook_secret="")
        with pytest.raises(Unsigned):
            strangers.verify(delivery)
        strangers.close()

    def test_a_channel_without_a_secret_takes_nothing(self, counter: Counter, receiver: Receiver) -> None:
        delivery = self.hooked(counter, receiver)[0]
        open_door = counter.another(webhook_secret="", old_webhook_secret="")
        with pytest.raises(Unsigned):
            open_door.verify(delivery)
        open_door.close()

    def test_what_is_signed_and_no_json_is_malformed(self, counter: Counter, receiver: Receiver) -> None:
        delivery = self.hooked(counter, receiver)[0]
        for body in (b"", b"not json", b"\xff\xfe", b"[1]", b"7"):
            with pytest.raises(Malformed):
                counter.channel.verify(counter.resign(delivery, body))

    @pytest.mark.parametrize(
        "body", [b"{}", b'{"id":null}', b'{"id":"x","line_items":7}', b'{"id":5,"line_items":[7]}', b'{"code":"e"}']
    )
    def test_a_signed_body_that_says_nothing_gives_no_level(
        self, counter: Counter, receiver: Receiver, body: bytes
    ) -> None:
        odd = counter.resign(self.hooked(counter, receiver)[0], body)
        counter.channel.verify(odd)
        assert all(s.order is None for s in counter.channel.signals(odd))

    def test_anything_may_be_sent_to_us(self, counter: Counter) -> None:
        channel = counter.channel

        @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.binary(max_size=200), st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
        def check(body: bytes, headers: dict[str, str]) -> None:
            request = RawRequest("POST", "http://here/", headers, body)
            with pytest.raises(DeliveryRefused):
                channel.verify(request)
            channel.signals(request)
            channel.handshake(request)

        check()

    # hooks and health

    def test_hooks_are_made_once(self, counter: Counter, receiver: Receiver) -> None:
        made = counter.channel.ensure_hooks(receiver.url)
        kept = counter.channel.ensure_hooks(receiver.url)
        assert made and {h.state for h in made} == {"made"} and {h.state for h in kept} == {"kept"}
        assert [h.topic for h in made] == [h.topic for h in kept]
        assert {h.address for h in made} == {f"{receiver.url}/webhooks/{counter.channel.name}"}

    def test_check_finds_nothing_wrong_with_a_good_shop(self, counter: Counter) -> None:
        health = counter.channel.check()
        assert health.ok and not health.problems and health.account
        assert health.clock_skew is None or abs(health.clock_skew) < timedelta(seconds=5)

    def test_wrong_credentials_are_the_sellers_to_mend(self, counter: Counter) -> None:
        wrong = counter.another(wrong="yes")
        health = wrong.check()
        assert not health.ok and health.problems
        with pytest.raises(CredentialsRefused) as refused:
            wrong.listings()
        said: Iterable[str] = (*health.problems, str(refused.value))
        for secret in counter.running.credentials.values():
            assert not any(secret in text for text in said if len(secret) > 20)
        wrong.close()

    def test_a_lost_write_outside_of_a_push_is_said(self, counter: Counter, receiver: Receiver) -> None:
        """Subscribing is a write too: where its answer is lost it is not made again blindly."""

        def subscribes(seen: Seen) -> bool:
            return counter.is_write(seen) and receiver.url.encode() in seen.body.replace(b"\\/", b"/")

        with counter.faults(once(Drop(applied=True), subscribes)), pytest.raises(OutcomeUnknown):
            counter.channel.ensure_hooks(receiver.url)
        assert len({h.topic for h in counter.channel.ensure_hooks(receiver.url)}) >= 1
