"""O10: where orders come from is asked about once, in Review and, before Start, in Seed day."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from sheets_sync import answering, onboarding, review, seed_day, sources
from sheets_sync.model import Question
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops.woocommerce.model import LineWanted
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.world import World

MUG, CUP = "MUG", "CUP"


class Shop(World):
    """A WooCommerce and a Shopify; orders come into the former from wherever a test says."""

    def sold(self, sku: str, units: int, source: str) -> str:
        shop = self.shops["woocommerce"].shop
        with shop.store.transaction() as db:
            order = shop.place(db, [LineWanted(shop.product_id(sku), units)], created_via=source)
        shop.pay(order)
        self.clock.tick(seconds=2)  # type: ignore[attr-defined]
        return str(order)

    def asked(self) -> list[Question]:
        with self.ledger.read() as view:
            return [q for q in view.questions() if q.kind == sources.KIND]

    def questions_in_seed_day(self) -> list[str]:
        header, *rows = self.store.rows(self.book.spreadsheet_id, tabs.SEED_DAY)
        at = header.index(tabs.QUESTION)
        return [str(row[at]) for row in rows if len(row) > at and row[at]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    seeds = [Seed(MUG, "Mug", 10), Seed(CUP, "Cup", 10)]
    world = Shop(tmp_path_factory.mktemp("sources"), vendors=("woocommerce", "shopify"), seeds=seeds, clock=Clock())
    try:
        world.sold(MUG, 2, "Shopify importer")
        world.sold(MUG, 1, "checkout")
        world.clock.tick(hours=1)
        onboarding.set_up(world.desk, world.workbook)
        onboarding.import_catalogues(world.desk)
        world.sheet_passes()
        yield world
    finally:
        world.close()


pytestmark = pytest.mark.xdist_group("sources")


def test_O10_before_start_sources_of_sixty_days_are_asked_about_in_review_and_seed_day(shop: Shop) -> None:
    (question,) = shop.asked()
    assert "1 of the orders of the last 60 days came to Woocommerce from 'Shopify importer'" in question.text
    assert "Are orders from there copies of orders that Shopify has, too?" in question.text
    assert review.suggested(question) == "copies", "it names another channel"
    assert review.words(question).startswith("ok: copies, as suggested; copies: Shopify has these orders, too: ")
    (cell,) = shop.questions_in_seed_day()
    assert "'Shopify importer'" in cell and "Answer in the tab Review" in cell
    with shop.ledger.read() as view:
        assert seed_day.question(shop.desk, view) == cell


def test_O10_copies_are_not_counted_from_start_on(shop: Shop) -> None:
    header = shop.header(tabs.REVIEW)
    shop.store.type(shop.book.spreadsheet_id, tabs.REVIEW, f"{chr(65 + header.index(tabs.DECISION))}2", "ok")
    shop.sheet_passes()
    assert (shop.asked(), shop.questions_in_seed_day()) == ([], [])
    onboarding.start(shop.desk)
    shop.passes()
    assert shop.figures(MUG) == "10/1/9"
    shop.sold(MUG, 3, "Shopify importer")
    shop.passes()
    assert shop.figures(MUG) == "10/1/9"
    with shop.ledger.read() as view:
        assert [(line.source, line.counted) for line in view.lines("woocommerce")] == [
            ("Shopify importer", False), ("checkout", True), ("Shopify importer", False),
        ]  # fmt: skip


@pytest.mark.parametrize(("word", "then"), [("copies", "10/0/10"), ("own", "10/3/7")])
def test_O10_a_source_that_appears_later_is_counted_and_asked_about_once(shop: Shop, word: str, then: str) -> None:
    before = shop.figures(CUP)
    shop.sold(CUP, 1, f"app-{word}")
    shop.passes()
    shop.sold(CUP, 2, f"app-{word}")
    shop.passes()
    (question,) = shop.asked()
    assert f"'app-{word}', which was not seen before" in question.text
    assert (before, shop.figures(CUP)) == ("10/0/10", "10/3/7")
    answering.answer(shop.desk, review.short_id(question), word)
    assert shop.figures(CUP) == then
    shop.sold(CUP, 4, f"app-{word}")
    shop.passes()
    assert (shop.asked(), shop.figures(CUP)) == ([], "10/0/10" if word == "copies" else "10/7/3")
    assert shop.ledger.verify() == []


def test_O10_the_config_says_it_as_well_and_has_the_last_word(shop: Shop) -> None:
    shop.sold(CUP, 1, "till app")
    shop.passes()
    assert len(shop.asked()) == 1
    settings = shop.desk.settings
    about = settings.channels["woocommerce"].model_copy(update={"own_sources": ("till app", "app-copies")})
    shop.desk.settings = dataclasses.replace(settings, channels={**settings.channels, "woocommerce": about})
    shop.channel_memory["woocommerce"].tidied_at = None
    shop.channel_pass("woocommerce")
    assert shop.asked() == []
    with shop.ledger.read() as view:
        assert sources.copies(view, shop.desk, "woocommerce") == {"Shopify importer"}


def test_O10_one_channel_alone_has_no_copies(shop: Shop) -> None:
    shop.desk.settings = dataclasses.replace(
        shop.desk.settings, channels={"woocommerce": shop.desk.settings.channels["woocommerce"]}
    )
    with shop.ledger.begin() as tx:
        assert sources.ask(tx, shop.desk, "woocommerce", {"never seen": 3}) == []
