"""The tabs and their columns as data: who writes each, what it holds, how it looks, what its header's note says.

Every column has one writer, the person or the service; the few that both write are exchanged (On hand, Reason, Note)
or taken and unticked (Primary, Start). `stock_columns` and `wanted` are the two functions; the rest is tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sheets_sync.errors import BadInput
from sheets_sync.model import Reason

STOCK = "Stock"
LEDGER = "Ledger"
CHANNELS = "Channels"
REVIEW = "Review"
ADJUSTMENTS = "Adjustments"
STOCK_TAKE = "Stock take"
SEED_DAY = "Seed day"
LISTINGS_TAB = "Listings"
KITS = "Kits"
PLAN = "Plan"
WHY = "Why"
EXCHANGE = "_exchange"

SKU = "SKU"
TITLE = "Title"
TAG_SKU = "tag SKU"
TAG_FIGURE = "tag figure"
TAG_EXCHANGE = "tag exchange"
ON_HAND = "On hand"
REASON = "Reason"
NOTE = "Note"
COMMITTED = "Committed"
DAMAGED = "Damaged"
AVAILABLE = "Available"
LOW_STOCK = "Low-stock level"
STATUS = "Status"
UPDATED = "Updated"

EVENT = "Event"
WHEN = "When"
WHAT = "What"
UNDO = "Undo"
ON_HAND_CHANGE = "On hand change"
COMMITTED_CHANGE = "Committed change"
DAMAGED_CHANGE = "Damaged change"
SOURCE = "Source"
REFERENCE = "Reference"
WHO = "Who"
BATCH = "Batch"

CHANNEL = "Channel"
CHANNEL_KIND = "Kind"
PRIMARY = "Primary"
START = "Start"
STATE = "State"
LISTINGS = "Listings"
OUT_OF_STEP = "Out of step"
LAST_PUSH = "Last push"
LAST_ORDER = "Last order"
LAST_ERROR = "Last error"
PROGRESS = "Progress"

THEIR_SKU = "Their SKU"
COUNTS_AS = "Counts as"
PACK_SIZE = "Pack size"
HOLD_BACK = "Hold back"
MAX = "Max"
PAUSED = "Paused"
OFFERS = "Offers"
SHOWS = "Shows"

IN_WORDS = "In words"
CAME_FROM = "From"
TODAY = "Today"
WHY_LINE = (
    IN_WORDS, EVENT, WHEN, WHAT, ON_HAND_CHANGE, ON_HAND, COMMITTED_CHANGE, COMMITTED, AVAILABLE, CAME_FROM, TODAY,
)  # fmt: skip
"""The headers of a line of the statement."""

MAKE_PLAN = "Make a plan"
WOULD = "What would happen"
PLAN_LINE = (WOULD, "SKU", "Where", "Stands there", "Would be", "Why")
"""The headers of a line of the plan."""

KEY = "Key"
OPEN_WITH = "Open with"
PRIMARY_SHOWS = "Primary shows"
OPENS = "Opens with"
OPEN_ORDERS = "Open orders"
ODD = "What is odd"
QUESTION = "Question"
ANSWER = "Answer"

ID = "Id"
ASKED = "Asked"
SEEN = "What was seen"
ANSWERS = "What each answer does"
SUGGESTED = "Suggested"
DECISION = "Decision"
UNITS = "Units"
CHANGE = "Change"
SET_TO = "Set to"
ON_HAND_AFTER = "On hand after"
LOCATION = "Location"
TO_LOCATION = "To location"


STILL_IN, LEFT_OUT = "still in it", "left out"
"""What the primary's figure may have done with other channels' open orders."""


class Writer(StrEnum):
    """Who writes a column. Nothing that a person wrote is ever overwritten, save what is exchanged."""

    PERSON = "person"
    SERVICE = "service"  # protected, with a warning only: staff must be able to sort and move rows
    BOTH = "both"  # exchanged: taken first, then written or cleared


class Format(StrEnum):
    """What a cell of the column is shown as."""

    TEXT = "text"  # plain text: 00123 stays 00123
    PROSE = "prose"  # text that is shown in as many lines as it needs
    NUMBER = "number"  # whole units
    MONEY = "money"  # an amount, as it was typed
    DATETIME = "datetime"  # a serial number in the spreadsheet's own time zone
    TICK = "tick"  # a tick box


@dataclass(frozen=True)
class Column:
    """One column of one tab. `width` is in pixels; `help` is the note that hovers over the header."""

    header: str
    writer: Writer
    key: str
    format: Format
    width: int
    help: str = ""
    hidden: bool = False
    choices: tuple[str, ...] = ()  # offered in a list; other words are allowed and flagged by us
    accent: bool = False  # the cells that people are meant to type in


@dataclass(frozen=True)
class Tab:
    """A tab as `init` makes it. `rows` is how many it starts with; it grows by itself."""

    title: str
    columns: tuple[Column, ...]
    rows: int
    frozen_columns: int = 0
    ticked: int = 1  # rows below the header that show tick boxes: a box stands in every cell that may be ticked
    head: tuple[Column, ...] = ()  # settings above the table: names in row 1, what is chosen in row 2, words in row 3

    @property
    def top(self) -> int:
        """The row of the table's header, counted from 0. Below the settings a row is left for a sentence."""
        return 3 if self.head else 0

    @property
    def served(self) -> bool:
        """Whether the service alone writes here, so that the tab is protected as one."""
        return all(c.writer is Writer.SERVICE for c in self.columns)


def _person(header: str, key: str, kind: Format, width: int, help: str, *, accent: bool = False) -> Column:
    return Column(header, Writer.PERSON, key, kind, width, help, accent=accent)


def _service(header: str, key: str, kind: Format, width: int, help: str = "", *, hidden: bool = False) -> Column:
    return Column(header, Writer.SERVICE, key, kind, width, help, hidden=hidden)


def _width(title: str) -> int:
    """Of a column of figures, whose header may be as long as a seller likes."""
    return min(320, max(80, 28 + 9 * len(title)))


_TAG_HELP = "Hidden. What the service last wrote in this row; it finds typed figures by it. Leave it alone."

_STOCK_FRONT = (
    _person(SKU, "sku", Format.TEXT, 105, "Plain text, so that 00123 and 1E5 stay as they are. One row a SKU."),
    _person(TITLE, "title", Format.TEXT, 175, "For you to read; filled in by the service for rows that it adds."),
    _service(TAG_SKU, "tag_sku", Format.TEXT, 100, _TAG_HELP, hidden=True),
    _service(TAG_FIGURE, "tag_figure", Format.NUMBER, 80, _TAG_HELP, hidden=True),
    _service(TAG_EXCHANGE, "tag_exchange", Format.TEXT, 100, _TAG_HELP, hidden=True),
    Column(
        ON_HAND,
        Writer.BOTH,
        "on_hand",
        Format.NUMBER,
        78,
        "Units physically there and sellable. Type over it: what you type is a change against the figure shown.",
        accent=True,
    ),
    Column(
        REASON,
        Writer.BOTH,
        "reason",
        Format.TEXT,
        90,
        "Why the count changes. Taken with the edit in this row, then cleared.",
        choices=tuple(Reason),
    ),
    Column(
        NOTE, Writer.BOTH, "note", Format.TEXT, 100, "A remark for the edit in this row; taken with it, then cleared."
    ),
    _service(COMMITTED, "committed", Format.NUMBER, 102, "Promised to buyers, not shipped yet."),
    _service(AVAILABLE, "available", Format.NUMBER, 98, "On hand less Committed; negative when too much was sold."),
    _service(STATUS, "status", Format.PROSE, 300, "What became of the last edit, and what is held or asked."),
)
"""What is in sight without scrolling, however many channels there are."""

_PAUSED_HELP = "yes, or until when, like 2026-03-02 10:00: lowered when it has to be, never raised. Blank: not paused."

_STOCK_BACK = (
    _service(DAMAGED, "damaged", Format.NUMBER, 96, "Physically there, not sellable."),
    _person(LOW_STOCK, "low_stock", Format.NUMBER, 140, "Available is coloured once it is down to this. Blank: never."),
    _person(PAUSED, "paused", Format.TEXT, 110, f"{_PAUSED_HELP} Cancels nothing: it sells on until it is used up."),
    _service(UPDATED, "updated", Format.DATETIME, 160, "When the service last wrote this row."),
)

LEDGER_COLUMNS = (
    _service(EVENT, "event", Format.NUMBER, 75, "The event's number in the ledger. Newest first."),
    Column(
        UNDO,
        Writer.BOTH,
        "undo",
        Format.TICK,
        65,
        "Tick to undo this event: Review shows what it would do.",
        accent=True,
    ),  # fmt: skip
    _service(WHEN, "when", Format.DATETIME, 155, "When it happened."),
    _service(SKU, "sku", Format.TEXT, 110),
    _service(TITLE, "title", Format.TEXT, 180),
    _service(WHAT, "what", Format.TEXT, 100, "The kind of event."),
    _service(ON_HAND_CHANGE, "on_hand_change", Format.NUMBER, 140),
    _service(ON_HAND, "on_hand", Format.NUMBER, 95, "After this event."),
    _service(COMMITTED_CHANGE, "committed_change", Format.NUMBER, 160),
    _service(COMMITTED, "committed", Format.NUMBER, 105, "After this event."),
    _service(DAMAGED_CHANGE, "damaged_change", Format.NUMBER, 145),
    _service(DAMAGED, "damaged", Format.NUMBER, 98, "After this event."),
    _service(REASON, "reason", Format.TEXT, 100),
    _service(NOTE, "note", Format.TEXT, 200),
    _service(SOURCE, "source", Format.TEXT, 100),
    _service(REFERENCE, "reference", Format.TEXT, 150, "The order, count or row that it came from."),
    _service(WHO, "who", Format.TEXT, 120),
    _service(BATCH, "batch", Format.TEXT, 120, "One paste, stock-take or import shares a batch."),
)

CHANNEL_COLUMNS = (
    _service(CHANNEL, "channel", Format.TEXT, 115),
    _service(CHANNEL_KIND, "kind", Format.TEXT, 115),
    Column(
        PRIMARY,
        Writer.BOTH,
        "primary",
        Format.TICK,
        78,
        "Tick the channel whose inventory seeds the first counts.",
        accent=True,
    ),
    Column(
        START,
        Writer.BOTH,
        "start",
        Format.TICK,
        65,
        "Tick when the figures look right: openings are written and pushing begins.",
        accent=True,
    ),
    _person(PAUSED, "paused", Format.TEXT, 80, _PAUSED_HELP, accent=True),
    _service(STATE, "state", Format.PROSE, 215),
    _service(PROGRESS, "progress", Format.TEXT, 120, "How far the first sync is, and what was asked for in vain."),
    _service(LAST_ERROR, "last_error", Format.PROSE, 210, "What the channel turned down last, until it takes it."),
    _service(LISTINGS, "listings", Format.NUMBER, 92),
    _service(OUT_OF_STEP, "out_of_step", Format.NUMBER, 112, "Listings that do not show what they should yet."),
    _service(LAST_PUSH, "last_push", Format.DATETIME, 155),
    _service(LAST_ORDER, "last_order", Format.DATETIME, 155),
)


REVIEW_COLUMNS = (
    _service(ID, "id", Format.TEXT, 85, "The question's name, also for `sheets-sync review`."),
    _service(SKU, "sku", Format.TEXT, 95),
    _service(SEEN, "seen", Format.PROSE, 330, "What happened, and what it is about."),
    _service(ANSWERS, "answers", Format.PROSE, 250, "The answers that you can choose, and what each of them does."),
    _service(
        SUGGESTED,
        "suggested",
        Format.TEXT,
        105,
        "The usual answer. Write ok under Decision to take it; nothing is taken by itself.",
    ),
    _person(
        UNITS, "units", Format.NUMBER, 70, "Of how many units, where it is not all of them. Type it first.", accent=True
    ),
    _person(NOTE, "note", Format.TEXT, 100, "A remark for the ledger. Type it first."),
    Column(
        DECISION,
        Writer.PERSON,
        "decision",
        Format.TEXT,
        115,
        "Choose an answer, or ok for the suggested one. It is taken once it has stood here for two looks.",
        accent=True,
    ),
    _service(STATUS, "status", Format.PROSE, 260, "What came of your answer, or why it could not be taken."),
    _service(REFERENCE, "reference", Format.TEXT, 130, "The order or the row that it is about."),
    _service(ASKED, "asked", Format.DATETIME, 155),
)


ADJUSTMENT_COLUMNS = (
    _person(SKU, "sku", Format.TEXT, 105, "Plain text, as it stands in the Stock tab. A row here is one adjustment."),
    _person(
        CHANGE, "change", Format.NUMBER, 80, "How many more (3) or fewer (-2) are there. Or use Set to.", accent=True
    ),
    _person(SET_TO, "set_to", Format.NUMBER, 75, "Counted: exactly so many are there now.", accent=True),
    Column(
        REASON, Writer.PERSON, "reason", Format.TEXT, 110, "Why. Leave it blank for 'other'.", choices=tuple(Reason)
    ),
    _person(
        REFERENCE,
        "reference",
        Format.TEXT,
        115,
        "An order's number ties the row to that order: its units are moved, and no more than it has.",
    ),
    _person(NOTE, "note", Format.TEXT, 160, "A remark for the ledger."),
    _service(ID, "id", Format.TEXT, 85, "Given by the service once the row is complete. A row is recorded once by it."),
    _service(STATUS, "status", Format.PROSE, 320, "What was recorded, or what is missing."),
    _service(ON_HAND_AFTER, "on_hand_after", Format.NUMBER, 130, "On hand after this row."),
)


def adjustment_columns(locations: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of Adjustments; `locations` are the titles of all of them, where there are several."""
    if not locations:
        return ADJUSTMENT_COLUMNS
    where = Column(
        LOCATION, Writer.PERSON, "location", Format.TEXT, 110, f"Where. Blank: {locations[0]}.", choices=(*locations,)
    )
    to = Column(
        TO_LOCATION, Writer.PERSON, "to_location", Format.TEXT, 110,
        "Filled in, the row is a transfer: Change units go from Location to here.", choices=(*locations,),
    )  # fmt: skip
    return (*ADJUSTMENT_COLUMNS[:3], where, to, *ADJUSTMENT_COLUMNS[3:])


def ledger_columns(locations: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of Ledger; with several locations each event names its own, whose balance it shows."""
    where = (_service(LOCATION, "location", Format.TEXT, 100, "The location that the figures are about."),)
    return (*LEDGER_COLUMNS[:6], *(where if locations else ()), *LEDGER_COLUMNS[6:])


def on_hand_at(location: str) -> str:
    """The header of the Stock column that shows what lies at a location other than the main one, by its title."""
    return f"{ON_HAND} at {location}"


_OPEN_ORDERS_HELP = (
    "Units of orders that are not shipped yet: were they in what you counted, or packed apart or gone already? "
)

STOCK_TAKE_HEAD = (
    Column(
        "Post",
        Writer.BOTH,
        "post",
        Format.TICK,
        105,
        "Tick to record the whole stock-take, once. State says what came of it.",
        accent=True,
    ),
    Column(
        "Mode",
        Writer.PERSON,
        "mode",
        Format.TEXT,
        80,
        "Partial: only what was counted. Full: lists what was not.",
        choices=("Partial", "Full"),
        accent=True,
    ),
    _person(
        "Counted at for all",
        "at_all",
        Format.DATETIME,
        155,
        "For every row without a time of its own, like 2026-03-02 10:41.",
        accent=True,
    ),
    Column(
        "Not counted are 0",
        Writer.PERSON,
        "zero",
        Format.TICK,
        150,
        "With Full: what was not counted becomes 0 with Post. Nothing else makes it 0.",
        accent=True,
    ),
    Column(
        "Open orders",
        Writer.PERSON,
        "orders_all",
        Format.TEXT,
        110,
        _OPEN_ORDERS_HELP + "For all rows without a word of their own.",
        choices=("in the count", "packed apart"),
        accent=True,
    ),
    Column(
        "Freeze",
        Writer.PERSON,
        "freeze",
        Format.TICK,
        75,
        "While it is ticked, no channel is raised for the SKUs below. Lowering goes on.",
        accent=True,
    ),
    _service("Session", "session", Format.TEXT, 112, "This stock-take's name. `sheets-sync undo NAME` takes it back."),
    _service("Rows", "rows", Format.NUMBER, 110),
    _service("State", "state", Format.PROSE, 460, "What is still to be answered, or what became of Post."),
    _service("Rows flagged", "flagged", Format.NUMBER, 136, "Rows that do not count; their Status says why."),
    _service("SKUs counted", "skus", Format.NUMBER, 136),
    _service("SKUs that differ", "differ", Format.NUMBER, 172),
    _service("Units up", "up", Format.NUMBER, 100, "Units counted beyond what was expected."),
    _service("Units down", "down", Format.NUMBER, 118, "Units expected and not counted."),
    _service("Value", "value", Format.MONEY, 90, "Of the differences, where Cost is given."),
)


def stock_take_head(locations: Sequence[str] = ()) -> tuple[Column, ...]:
    """The settings above a stock-take; with several locations, by their titles, it says which one is counted."""
    if not locations:
        return STOCK_TAKE_HEAD
    where = Column(
        LOCATION, Writer.PERSON, "location", Format.TEXT, 110, f"Where you count. Blank: {locations[0]}.",
        choices=(*locations,), accent=True,
    )  # fmt: skip
    front, rows, state, rest = STOCK_TAKE_HEAD[:7], STOCK_TAKE_HEAD[7], STOCK_TAKE_HEAD[8], STOCK_TAKE_HEAD[9:]
    return (*front, where, state, rows, *rest)  # State stays over Status, which is as wide


STOCK_TAKE_COLUMNS = (
    _person(SKU, "sku", Format.TEXT, 105, "Plain text. A barcode will do where Stock has a column Barcode."),
    _person("Counted", "counted", Format.NUMBER, 80, "Units counted. Several rows of one SKU are summed.", accent=True),
    _person(
        "Counted at",
        "counted_at",
        Format.DATETIME,
        155,
        "When, like 2026-03-02 10:41. Blank: when the figure was first seen here.",
    ),
    _person(NOTE, "note", Format.TEXT, 150, "A remark, or the place. The same note twice for one SKU is asked about."),
    Column(
        "Open orders",
        Writer.PERSON,
        "orders",
        Format.TEXT,
        110,
        _OPEN_ORDERS_HELP + "Blank: as chosen above.",
        choices=("in the count", "packed apart"),
    ),
    _person("Cost", "cost", Format.MONEY, 75, "Optional: what one unit costs, for the value of the differences."),
    _service("Expected", "expected", Format.NUMBER, 112, "What should have been there when it was counted."),
    _service("Difference", "difference", Format.NUMBER, 110, "Counted less Expected."),
    _service(
        STATUS, "status", Format.PROSE, 460, "What was counted, what happened since, or why the row does not count."
    ),
)


_KEY_HELP = "Hidden. Which row this is, wherever it is sorted to. Leave it alone."

_SEED_FRONT = (
    _service(KEY, "key", Format.TEXT, 120, _KEY_HELP, hidden=True),
    _service(SKU, "sku", Format.TEXT, 105),
    _service(TITLE, "title", Format.TEXT, 150),
    _service(PRIMARY_SHOWS, "primary", Format.NUMBER, 130, "What the primary marketplace shows, in units."),
    Column(
        OPEN_WITH,
        Writer.PERSON,
        "open_with",
        Format.TEXT,
        92,
        "Blank takes what stands under Opens with. Or type how many lie on the shelf, those of open orders among them; "
        "or 'leave out' to open this SKU later.",
        accent=True,
    ),
    _service(OPENS, "opens", Format.NUMBER, 112, "On hand from Start on. Blank: it would not be opened."),
)
_SEED_BACK = (
    _service(ODD, "odd", Format.PROSE, 260, "What to look at before you tick Start."),
    _service(QUESTION, "question", Format.PROSE, 320, "What is asked before you tick Start."),
    Column(
        ANSWER,
        Writer.PERSON,
        "answer",
        Format.TEXT,
        110,
        "The answer to the question beside it, once, in any row.",
        choices=(STILL_IN, LEFT_OUT),
        accent=True,
    ),
    _service(OPEN_ORDERS, "open_orders", Format.TEXT, 150, "Units ordered and not shipped yet, by channel."),
)


PLAN_COLUMNS = (
    Column(
        MAKE_PLAN,
        Writer.BOTH,
        "make",
        Format.TICK,
        110,
        "Tick to see what the next pass would do: it is worked out on a copy, and nothing is written or sent.",
        accent=True,
    ),
    _service(WOULD, "would", Format.PROSE, 240, "The first row sums up; below it a line for each thing."),
    _service(SKU, "sku", Format.TEXT, 130),
    _service("Where", "where", Format.TEXT, 130),
    _service("Stands there", "now", Format.NUMBER, 122),
    _service("Would be", "then", Format.NUMBER, 100),
    _service("Why", "why", Format.PROSE, 520),
)


WHY_COLUMNS = (
    _person(
        SKU, "sku", Format.TEXT, 105, "Type a SKU in the cell below: why are its figures what they are?", accent=True
    ),
    _service(IN_WORDS, "words", Format.PROSE, 380, "The sum in words, and what led to an oversell."),
    _service(EVENT, "event", Format.NUMBER, 75, "The newest first, with the balances after each."),
    _service(WHEN, "when", Format.DATETIME, 155, "When it happened."),
    _service(WHAT, "what", Format.TEXT, 100),
    _service(ON_HAND_CHANGE, "on_hand_change", Format.NUMBER, 140),
    _service(ON_HAND, "on_hand", Format.NUMBER, 95),
    _service(COMMITTED_CHANGE, "committed_change", Format.NUMBER, 160),
    _service(COMMITTED, "committed", Format.NUMBER, 105),
    _service(AVAILABLE, "available", Format.NUMBER, 98),
    _service(CAME_FROM, "from", Format.PROSE, 240),
    _service(TODAY, "today", Format.PROSE, 300, "What it does to the sum today, where it does not simply count."),
)


def seed_columns(channel_titles: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of Seed day: what each channel shows stands between the SKU and what is odd."""
    shown = (
        _service(title, f"channel:{title}", Format.NUMBER, _width(title), f"What {title} shows, in units.")
        for title in channel_titles
    )
    return (*_SEED_FRONT, *shown, *_SEED_BACK)


KIT_COLUMNS = (
    _person("Kit SKU", "kit", Format.TEXT, 130, "The SKU that is sold. A row for each of its components.", accent=True),
    _person("Component SKU", "component", Format.TEXT, 135, "A SKU of yours that it is made of.", accent=True),
    _person(UNITS, "units", Format.TEXT, 80, "How many of it one kit has. 'no kit' dissolves the kit.", accent=True),
    _service(AVAILABLE, "available", Format.NUMBER, 98, "How many kits can be made of what is there."),
    _service(STATUS, "status", Format.PROSE, 460),
)

LISTING_COLUMNS = (
    _service(KEY, "key", Format.TEXT, 120, _KEY_HELP, hidden=True),
    _service(CHANNEL, "channel", Format.TEXT, 105),
    _service(THEIR_SKU, "their_sku", Format.TEXT, 110, "The SKU that the listing carries on its channel."),
    _service(TITLE, "title", Format.TEXT, 160),
    _service(COUNTS_AS, "counts_as", Format.TEXT, 112, "The SKU of yours that it is matched to."),
    _service(STATE, "state", Format.PROSE, 220, "How it stands; a suggestion where it is not matched."),
    _person(
        SKU,
        "sku",
        Format.TEXT,
        100,
        "Where it is not matched by its own: the SKU of yours that it counts as. Several may count as one.",
        accent=True,
    ),
    _person(
        PACK_SIZE,
        "pack_size",
        Format.NUMBER,
        90,
        "Units in one of these. Blank: 1. Holds for orders from then on.",
        accent=True,
    ),
    _person(
        HOLD_BACK,
        "hold_back",
        Format.NUMBER,
        92,
        "Units never offered here. Blank: as its channel has it.",
        accent=True,
    ),
    _person(MAX, "max", Format.NUMBER, 55, "The most it ever offers; 0 stops selling. Blank: no limit.", accent=True),
    Column(
        PAUSED,
        Writer.PERSON,
        "paused",
        Format.TEXT,
        80,
        "yes: it is lowered when it has to be, and never raised.",
        choices=("yes",),
        accent=True,
    ),
    _service(OFFERS, "offers", Format.NUMBER, 80, "What it should show."),
    _service(SHOWS, "shows", Format.NUMBER, 80, "What it shows, as far as we know."),
)


def stock_columns(channel_titles: Sequence[str] = (), locations: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of Stock, one for each channel's figure among them and, of several `locations`, one for each but the
    main one.

    Raises BadInput where a channel's title is blank, used twice, or is a header that we use ourselves.
    """
    there = tuple(
        _service(
            on_hand_at(title), f"on_hand:{title}", Format.NUMBER, _width(on_hand_at(title)),
            f"Units at {title}, as On hand is about {locations[0]}. Changed by rows of Adjustments.",
        )
        for title in locations[1:]
    )  # fmt: skip
    used = {c.header for c in (*_STOCK_FRONT, *there, *_STOCK_BACK)}
    for title in channel_titles:
        if not title.strip():
            raise BadInput("a channel has a blank title; it heads a column of the Stock tab, so give it one")
        if title in used:
            raise BadInput(f"the channel title {title!r} is already a header of the Stock tab; choose another title")
        used.add(title)
    shown = (
        _service(title, f"channel:{title}", Format.NUMBER, _width(title), f"What {title} shows.")
        for title in channel_titles
    )
    return (*_STOCK_FRONT, *shown, *there, *_STOCK_BACK)


def wanted(channel_titles: Sequence[str] = (), locations: Sequence[str] = ()) -> tuple[Tab, ...]:
    """Every tab that `init` makes or repairs. `_exchange` is not among them: the chain makes it. `locations` are the
    titles of all of them, the main one first, where there are several.
    """
    return (
        Tab(STOCK, stock_columns(channel_titles, locations), rows=1000, frozen_columns=2),
        Tab(STOCK_TAKE, STOCK_TAKE_COLUMNS, rows=1000, frozen_columns=1, head=stock_take_head(locations)),
        Tab(ADJUSTMENTS, adjustment_columns(locations), rows=200, frozen_columns=1),
        Tab(REVIEW, REVIEW_COLUMNS, rows=50, frozen_columns=1),
        Tab(LEDGER, ledger_columns(locations), rows=200),
        Tab(SEED_DAY, seed_columns(channel_titles), rows=200, frozen_columns=3),
        Tab(LISTINGS_TAB, LISTING_COLUMNS, rows=200, frozen_columns=4),
        Tab(KITS, KIT_COLUMNS, rows=100, frozen_columns=1),
        Tab(PLAN, PLAN_COLUMNS, rows=500, frozen_columns=3),
        Tab(WHY, WHY_COLUMNS, rows=202, frozen_columns=1),
        Tab(CHANNELS, CHANNEL_COLUMNS, rows=50, frozen_columns=1, ticked=max(1, len(channel_titles))),
    )
