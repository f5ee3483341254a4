"""O10: where a channel's orders come from. A source that is not surely the channel's own is asked about, once.

Orders that a shop imported from a marketplace which is itself a channel here are copies: read, and not counted. Until
somebody says so they count, as a unit that is promised once too often is sold to nobody. The config may say it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sheets_sync import booking, guard, lines
from sheets_sync.desk import Desk
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Event, Question

KIND = "order_source"
COPIES, OWN = "copies", "own"
_ASKED = "asked"


def _state(channel: str) -> str:
    """What is known of a channel's sources: source -> "asked", or what was answered."""
    return f"sources:{channel}"


def copies(view: View, desk: Desk, channel: str) -> frozenset[str]:
    """Sources of a channel whose orders are read and not counted."""
    about = desk.settings.channels[channel]
    said = {source for source, word in view.get(_state(channel), {}).items() if word == COPIES}
    return frozenset({*about.copies_of, *said} - set(about.own_sources))


def ask(tx: Tx, desk: Desk, channel: str, seen: Mapping[str, int], *, before_start: bool = False) -> list[Question]:
    """Ask about the sources that are new among those of orders just read, with how many orders each has."""
    if not desk.titles.keys() - {channel}:
        return []
    own = desk.channels[channel].capabilities.own_sources
    if own is None:
        return []
    about = desk.settings.channels[channel]
    new = seen.keys() - {"", *own, *about.copies_of, *about.own_sources}
    if not new:
        return []
    known = tx.get(_state(channel), {})
    fresh = sorted(source for source in new if source not in known)
    if not fresh:
        return []
    tx.put(_state(channel), {**known, **dict.fromkeys(fresh, _ASKED)})
    days = desk.settings.limits.opening_days if before_start else 0
    return tx.ask(_question(desk, channel, source, seen[source], days) for source in fresh)


def _question(desk: Desk, channel: str, source: str, units: int, days: int) -> Question:
    titles = desk.titles
    others = [name for name in titles if name != channel]
    came = f"An order came to {titles[channel]} from '{source}', which was not seen before"
    if days:
        came = f"{units} of the orders of the last {days} days came to {titles[channel]} from '{source}'"
    likely = _likely(desk, source, others)
    whose = " or ".join(titles[name] for name in likely or others)
    text = (
        f"? {came}. Are orders from there copies of orders that {whose} has, too? Copies are read and not counted. "
        "Until you answer, they are counted."
    )
    about = {"channel": channel, "source": source, "copy_of": whose} | ({lines.SUGGESTS: COPIES} if likely else {})
    return guard.ask(KIND, "", text, desk.clock(), reference=f"{channel}: {source}", about=about)


def _likely(desk: Desk, source: str, others: Sequence[str]) -> list[str]:
    """The channels that a source seems to be called after: by title or name or, where that fits none, by kind."""

    by_name = {name: (desk.titles[name], name) for name in others}
    by_kind = {name: (desk.settings.channels[name].kind,) for name in others}
    for words in (by_name, by_kind):
        found = [name for name in others if any(_folded(word) in _folded(source) for word in words[name])]
        if found:
            return found
    return []


def _folded(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def answered(tx: Tx, desk: Desk, question: Question, word: str, actor: str) -> list[Event]:
    """Keep a person's word; what copies have moved so far is taken back."""
    channel, source = str(question.about["channel"]), str(question.about["source"])
    tx.put(_state(channel), {**tx.get(_state(channel), {}), source: word})
    events: list[Event] = []
    for line in tx.lines(channel) if word == COPIES else ():
        if line.source == source and line.counted:
            events += booking.settle(tx, desk, replace(line, counted=False), actor=actor)
    return events


def said_in_config(tx: Tx, desk: Desk, channel: str) -> None:
    """Nothing is asked any more about a source that the config names."""
    about = desk.settings.channels[channel]
    named = {*about.copies_of, *about.own_sources}
    mine = (q for q in tx.questions() if q.kind == KIND and q.about["channel"] == channel)
    tx.close_questions([q.key for q in mine if q.about["source"] in named], "the config says it")


def asked(view: View) -> list[str]:
    """What is asked about sources now, in words."""
    return [guard.unmarked(question.text) for question in view.questions() if question.kind == KIND]
