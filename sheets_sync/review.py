"""Questions and their answers: which answers a question has, what each does, and what one changes.

Pure. `ANSWERS` is the table that the Review tab and `sheets-sync review` offer; `effect` turns a question and a
person's word into facts. An answer changes the ledger at once; the sheet follows with the next exchange, which finds
that what stands in the cell has had its effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sheets_sync import gaps, guard, lines, masses
from sheets_sync.edits import NEW, TYPO, Known
from sheets_sync.errors import BadInput
from sheets_sync.model import MAIN, Cell, Event, Fact, Kind, LineState, Question, Reason, Said, Stock, Word

ANSWERED = "answered:"
"""Marks a used tag whose figure an answer has settled; see `desk.ANSWERED`."""

ADJUSTMENT_SAID = "adjustment_said:"
"""Before the digest of a row of Adjustments: what was answered about it, until it is recorded."""

STOCK_TAKE_SAID = "stock_take_said:"
"""Before the digest of a stock-take: what was answered about exactly those counts."""

APPROVED = "approved:"
"""Before a tag's exchange: what was typed over it is part of a hold that was approved."""

TAKES_SUGGESTED = ("ok", "yes")
"""What a person may write instead of the suggested answer, where a question has one."""

UNDO_BATCH = "undo the batch"
POST_IT = "post it"


@dataclass(frozen=True)
class Answer:
    """One answer that a question has: the word to choose, and what it does."""

    word: str
    does: str
    units: bool = False  # Units may say of how many


_RECORD = Answer("record it", "takes the change as it was typed, against the figure of now")
_COUNT = Answer("count", "takes what was typed as a count: exactly so many are there now")
_YES = Answer("yes", "answers that order's question; nothing is added")
_PUT_BACK = Answer("put back", "takes nothing; the cell shows the ledger's figure again")
_SEEN = Answer("seen", "takes nothing; the question goes")

ANSWERS: Mapping[str, tuple[Answer, ...]] = {
    "below_zero": (_RECORD, _COUNT, _PUT_BACK),
    "reason": (Answer("record it", "takes the change without that reason"), _PUT_BACK),
    "undo": (
        Answer("undo", "strikes the last edit of this SKU"),
        Answer("add", "takes what was typed as a change"),
        _PUT_BACK,
    ),
    "restored": (_RECORD, _COUNT, _PUT_BACK),
    "jump": (_RECORD, _COUNT, _PUT_BACK),
    "mass": (
        Answer("approve", "takes exactly these changes, each against the figure of now"),
        Answer("put back", "takes none of them; the cells show the ledger's figures again"),
    ),
    "cleared": (Answer("put back", "the cells show the ledger's figures again"),),
    "undo_event": (
        Answer("undo", "strikes this event; what happened since stays"),
        Answer(UNDO_BATCH, "strikes all that was recorded together with it"),
        Answer("leave", "changes nothing"),
    ),
    "undo_refused": (_SEEN,),
    "drift": (_SEEN, Answer("take over", "changes on hand by the difference, as the shop had it")),
    "rows_missing": (
        Answer("put back", "writes all of these rows again"),
        Answer("archive", "offers none of these SKUs any more; their history stays"),
    ),
    "moved_column": (_RECORD, _PUT_BACK),
    "formula_held": (Answer("count", "takes its value as a count; the formula goes"), _PUT_BACK),
    "lost_image": (_SEEN,),
    "is_order": (_YES, Answer("no", "adds the units"), _PUT_BACK),
    "adjustment_order": (_YES, Answer("no", "adds the units")),
    "adjustment": (
        Answer("once more", "records the row as another one"),
        Answer("the same", "takes nothing; the row gets its old Id back"),
    ),
    "other_tag": (_COUNT, _PUT_BACK),
    "used_tag": (Answer("record it", "takes the change once more"), _COUNT, _PUT_BACK),
    "untagged": (_COUNT, _PUT_BACK),
    "stray": (_COUNT,),
    "text": (_SEEN,),
    "lost_cell": (_SEEN,),
    "formula": (_SEEN,),
    "rename": (
        Answer("rename", "its count, open orders and listings go to the new name"),
        Answer("new", "opens it as a new SKU with the figure typed"),
    ),
    "alike": (
        Answer("new", "opens it as a new SKU with the figure typed"),
        Answer("typo", "takes nothing; the row is left alone until its SKU is corrected"),
        Answer("rename", "the other one's count, open orders and listings go to this name"),
    ),
    "vanished": (
        Answer("put back", "writes its row again"),
        Answer("archive", "offers it nowhere; its history stays"),
    ),
    "stock_take": (
        Answer(POST_IT, "records exactly these counts"),
        Answer("leave it", "records nothing; correct the rows, or clear them"),
    ),
    "cancellation": (
        Answer("back to stock", "the units are sellable again", units=True),
        Answer("gone", "the units were not there", units=True),
        Answer("damaged", "the units are there, not sellable", units=True),
    ),
    "gone_order": (
        Answer("back to stock", "nothing was shipped; the units are sellable again", units=True),
        Answer("shipped", "the units left", units=True),
    ),
    "return": (
        Answer("sellable", "the units are back and sellable", units=True),
        Answer("damaged", "the units are back, not sellable", units=True),
        Answer("not arrived", "nothing is taken back; the channel or an adjustment may say so later", units=True),
        Answer("already counted", "they are back, and the last count has them in it: on hand stays", units=True),
    ),
    "waiting": (
        Answer("shipped", "the units left", units=True),
        Answer("back to stock", "they will not be shipped; the units are sellable again", units=True),
        Answer("still waiting", "nothing changes; it is asked again later"),
    ),
    "count_between": (
        Answer(lines.BEFORE, "the count did not have them in it any more"),
        Answer(lines.AFTER, "the count still had them in it: they are taken off now"),
    ),
    "make_kit": (
        Answer("turn into components", "what nobody has ordered becomes its components; it has no count from then on"),
        Answer("leave", "it keeps its count, and is no kit"),
    ),
    "start_undone": (
        Answer("put back", "the listings that still show what we wrote get their figures from before Start"),
        Answer("leave", "they keep what they show now"),
    ),
    "new_listing": (
        Answer("open", "opens its SKU with the figure that it shows, and what is still to be shipped of it"),
        Answer("leave alone", "it is neither counted nor pushed; map it in the Listings tab whenever you like"),
    ),
    "order_source": (
        Answer("copies", "{} has these orders, too: they are read, and not counted"),
        Answer("own", "nobody else has them: they are counted"),
    ),
    "before_opening": (
        Answer("left out", "the opening's figure had not counted them: they are added", units=True),
        Answer("counted", "the opening's figure had counted them: nothing changes"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """What an answer changes, in one transaction."""

    facts: tuple[Fact, ...] = ()
    taken: Mapping[tuple[str, str], Cell] = field(default_factory=dict)
    line: LineState | None = None
    put_back_rows: tuple[str, ...] = ()  # SKUs whose rows are written again
    archive: tuple[str, ...] = ()  # SKUs that are offered nowhere from now on
    rename: tuple[str, str] | None = None  # (old name, new name)
    remember: Mapping[str, str] = field(default_factory=dict)  # small state, by name
    note: str = ""  # a remark for what the line's settling records
    undo: str = ""  # an event's number, or a batch, that is struck
    makes_kit: bool = False  # K1: the question's SKU is turned into a kit
    source: str = ""  # O10: what was said of the question's source
    opens: bool = False  # B7: the question's listing is opened with the figure that it shows
    ask: tuple[Question, ...] = ()  # what of it has to be asked alone


@dataclass(frozen=True)
class Situation:
    """What the ledger says about a question's SKU and line, read in the transaction that answers."""

    stock: Stock | None = None
    last_edit: Event | None = None
    opened_at: datetime | None = None  # when counting began
    line: LineState | None = None
    policy: lines.Policy = lines.ASK  # the one in force for `line`
    counted_at: datetime | None = None  # when its SKU was last counted
    known: Known | None = None  # of a hold found in an image: what is known of its rows


def short_id(question: Question) -> str:
    """A question's name for people: short, and always the same."""
    return hashlib.sha256(question.key.encode()).hexdigest()[:8]


def offered(question: Question) -> tuple[Answer, ...]:
    """The answers that a question has, the suggested one first; none where only the sheet itself can be put right."""
    answers = ANSWERS.get(question.kind, ())
    if question.kind == "undo_event" and "batch" not in question.about:
        answers = tuple(answer for answer in answers if answer.word != UNDO_BATCH)
    if question.kind == "drift" and question.about.get("kit"):
        answers = (_SEEN,)  # it has no count that could take the difference
    if question.kind == "order_source":
        whose = str(question.about.get("copy_of", "another channel of yours"))
        answers = tuple(replace(answer, does=answer.does.format(whose)) for answer in answers)
    suggestion = question.about.get(lines.SUGGESTS)
    return tuple(sorted(answers, key=lambda answer: answer.word != suggestion)) if suggestion else answers


def suggested(question: Question) -> str:
    """The answer that is preselected (O2); "" where none is. Only a person takes it, by its word or by "ok"."""
    words = [answer.word for answer in offered(question)]
    return words[0] if words and words[0] == question.about.get(lines.SUGGESTS) else ""


def words(question: Question) -> str:
    """What each answer would do, in one line."""
    first = f"ok: {suggested(question)}, as suggested; " if suggested(question) else ""
    return first + "; ".join(f"{a.word}: {a.does}" for a in offered(question)) or "put it right in the sheet"


def meant(question: Question, word: str) -> str:
    """The answer that a person's word stands for. Raises BadInput, naming what is possible, where it is none."""
    return _chosen(question, word).word


def effect(
    question: Question, word: str, situation: Situation, at: datetime, *, units: int | None = None, note: str = "",
    actor: str = "",
) -> Effect:  # fmt: skip
    """What answering `question` with `word` changes. Raises BadInput, naming what is possible, where it is not."""
    chosen = _chosen(question, word)
    if units is not None and (not chosen.units or units < 1):
        raise BadInput(f"'{chosen.word}' takes {'a number of units from 1 on' if chosen.units else 'no Units'} here.")
    if question.kind in _OF_LINES:
        return _about_line(question, chosen.word, situation, at, units, actor, note)
    if question.kind == "make_kit":
        return Effect(makes_kit=chosen.word != "leave")
    if question.kind == "start_undone":
        put_back = {f"put_back:{question.about.get('channel')}": chosen.word} if chosen.word == "put back" else {}
        return Effect(remember=put_back)
    if question.kind == "order_source":
        return Effect(source=chosen.word)
    if question.kind == "new_listing":
        return Effect(opens=chosen.word == "open")
    if question.kind in ("adjustment", "adjustment_order"):
        return _about_row(question, chosen.word)
    if question.kind == "stock_take":
        return Effect(remember={f"{STOCK_TAKE_SAID}{question.about.get('digest')}": chosen.word})
    if question.kind == "is_order" and chosen.word == "yes":
        return _is_that_order(question, situation, at, note)
    if question.kind == "vanished":
        return _about_rows_gone([question.sku], chosen.word)
    if question.kind == "drift" and chosen.word == "take over":
        return _drifted(question, situation, at, note, actor)
    if question.kind == "undo_event":
        meant = {"undo": "event", UNDO_BATCH: "batch"}.get(chosen.word)
        return Effect(undo=str(question.about[meant]) if meant else "", note=note)
    if question.kind == masses.MASS and situation.known is not None and chosen.word == "approve":
        return _typed_in_gap(question, situation.known, at, note, actor)
    if question.kind in masses.KINDS:
        return _about_mass(question, chosen.word)
    if chosen.word == "rename":
        return Effect(rename=(str(question.about.get("gone")), question.sku))
    if question.kind in ("rename", "alike"):
        said = TYPO if chosen.word == "typo" else NEW
        return Effect(taken={(ANSWERED + said, question.sku): question.typed})
    if chosen.word in ("put back", "seen"):
        return Effect(taken=_used(question, with_tag=False))
    return _typed(question, chosen.word, situation, at, note, actor)


def _drifted(question: Question, now: Situation, at: datetime, note: str, actor: str) -> Effect:
    """What a shop's own figure said of the shelf is taken for true."""
    units = int(str(question.about["units"]))
    if now.stock is None or now.stock.on_hand + units < 0:
        raise BadInput("That would leave fewer than no units; count it in the sheet instead.")
    fact = Fact(
        f"answer:{question.key}", question.sku, Kind.ADJUSTMENT, at, Stock(on_hand=units), source="review", actor=actor,
        reference=f"review {short_id(question)}", reason=str(Reason.CORRECTION), note=note,
        location=str(question.about.get("location") or MAIN),
    )  # fmt: skip
    return Effect((fact,))


def _about_rows_gone(skus: Sequence[str], word: str) -> Effect:
    return Effect(archive=tuple(skus)) if word == "archive" else Effect(put_back_rows=tuple(skus))


def _about_mass(question: Question, word: str) -> Effect:
    """A word about a hold is one about exactly its rows; whatever else stands there now is not meant."""
    if question.kind == masses.MISSING:
        return _about_rows_gone(masses.skus_of(question), word)
    mark = APPROVED if word == "approve" else ANSWERED
    return Effect(taken={(mark + row.exchange, row.sku): row.typed for row in masses.rows_of(question)})


def _typed_in_gap(question: Question, known: Known, at: datetime, note: str, actor: str) -> Effect:
    """An approval of what no cell shows any more is the last word about it: it is recorded now."""
    facts, alone = gaps.approved(question, known, at, actor=actor, name=short_id(question), note=note)
    return Effect(tuple(facts), ask=tuple(alone))


def _chosen(question: Question, word: str) -> Answer:
    wanted, answers = word.strip().casefold(), offered(question)
    for answer in answers:
        if answer.word == wanted:
            return answer
    if wanted in TAKES_SUGGESTED and suggested(question):
        return answers[0]
    names = ", ".join(a.word for a in offered(question))
    raise BadInput(f"'{word}' is no answer to this question; it takes {names or 'none: put it right in the sheet'}.")


# what was typed -------------------------------------------------------------------------------------------------


def _typed(question: Question, word: str, now: Situation, at: datetime, note: str, actor: str) -> Effect:
    """An answer that lets a typed figure count: as a change, as a count, or as the undoing of an edit."""
    common = Fact(
        f"answer:{question.key}", question.sku, Kind.ADJUSTMENT, at, source="review", actor=actor,
        reference=f"review {short_id(question)}", note=note or str(question.about.get("note") or ""),
    )  # fmt: skip
    if word == "undo":
        if now.last_edit is None:
            raise BadInput("There is no edit to undo any more; choose another answer.")
        fact = replace(common, kind=Kind.REVERSAL, strikes=now.last_edit.fact.key)
    elif word == "count":
        if not guard.is_count(question.typed):
            raise BadInput(f"{guard.shown(question.typed)} is no count; put it right in the sheet.")
        kind = Kind.STOCK_TAKE if now.stock is not None else Kind.OPENING
        fact = replace(common, kind=kind, count=int(str(question.typed)))
    else:
        fact = _change(common, question, now)
    return Effect((fact,), _used(question, with_tag=True))


def _change(common: Fact, question: Question, now: Situation) -> Fact:
    if type(question.typed) is not int or type(question.tag) is not int or now.stock is None:
        raise BadInput("There is no figure any more that this could change; count instead.")
    change = question.typed - question.tag
    reason = str(question.about.get("reason") or "")
    moved = guard.moved_by(change, reason, now.stock) if question.kind != "reason" else None
    return replace(
        common,
        change=moved or Stock(on_hand=change),
        reason=reason if moved else str(Reason.OTHER),
        reference=guard.typed_reference(question.typed, question.tag),
    )


def _about_row(question: Question, word: str) -> Effect:
    """A word about a row of Adjustments, for the look that records it."""
    about = question.about
    meant = {"once more": "record", "the same": f"same:{about.get('id')}", "no": "no", "yes": str(about.get("line"))}
    return Effect(remember={f"{ADJUSTMENT_SAID}{about.get('digest')}": meant[word]})


def _is_that_order(question: Question, now: Situation, at: datetime, note: str) -> Effect:
    """S10: the plus that was typed is that order's units coming back."""
    if now.line is None or type(question.typed) is not int or type(question.tag) is not int:
        raise BadInput("That order's question is gone; answer no, or put the figure back.")
    units, kind = question.typed - question.tag, str(question.about.get("asks"))
    if lines.asked_units(now.line, kind, now.policy) < units:
        raise BadInput("That order does not ask about so many units any more; answer no, or put the figure back.")
    name = "back" if kind == lines.CANCELLATION else "good"
    note = note or str(question.about.get("note") or "")
    return Effect(taken=_used(question, with_tag=True), line=decided(now.line, name, units, at), note=note)


def _used(question: Question, *, with_tag: bool) -> dict[tuple[str, str], Cell]:
    """The tag is used up, and what stands over it has had its effect."""
    exchange = str(question.about.get("exchange"))
    used: dict[tuple[str, str], Cell] = {(ANSWERED + exchange, question.sku): question.typed}
    if with_tag and "exchange" in question.about:
        used[exchange, question.sku] = question.typed
    return used


# order lines ----------------------------------------------------------------------------------------------------

_OF_LINES = (lines.OF_LINES | {lines.BEFORE_OPENING}) - {lines.UNKNOWN_SKU}
_SAID = {
    (lines.CANCELLATION, "back to stock"): "back",
    (lines.CANCELLATION, "gone"): "gone",
    (lines.CANCELLATION, "damaged"): "damaged",
    (lines.GONE_ORDER, "back to stock"): "kept",
    (lines.GONE_ORDER, "shipped"): "left",
    (lines.RETURN, "sellable"): "good",
    (lines.RETURN, "damaged"): "broken",
    (lines.RETURN, "not arrived"): "absent",
    (lines.RETURN, "already counted"): "counted",
    (lines.WAITING, "shipped"): "left",
    (lines.WAITING, "back to stock"): "kept",
}


def line_key(question: Question) -> str:
    """The key of the order line that a question is about; "" where it is about none."""
    return str(question.about.get("line") or "") if question.kind in (*_OF_LINES, "is_order") else ""


def _about_line(
    question: Question, word: str, now: Situation, at: datetime, units: int | None, actor: str, note: str
) -> Effect:
    line = now.line
    if line is None:
        raise BadInput("The order line of this question is not in the ledger any more.")
    if question.kind == lines.COUNT_BETWEEN:
        last = max((s.at for s in line.level.shipped), default=line.version)
        return Effect(line=replace(line, said=_heard(line.said, word, 0, last)), note=note)
    asked = lines.asked_units(line, question.kind, now.policy)
    if asked < 1:
        raise BadInput("Nothing is left to answer about this order line.")
    if units is not None and units > asked:
        raise BadInput(f"At most {asked} units are asked about here.")
    answered = asked if units is None else units
    if question.kind == lines.BEFORE_OPENING:
        if word == "counted":
            return Effect()
        opened = now.opened_at + timedelta(microseconds=1) if now.opened_at else at  # a count since has seen them
        fact = Fact(
            f"answer:{question.key}", question.sku, Kind.ADJUSTMENT, opened, Stock(on_hand=answered), source="review",
            actor=actor, reference=question.reference, reason=str(Reason.CORRECTION), note=note,
        )  # fmt: skip
        return Effect((fact,))
    if word == "still waiting":
        again = at + (now.policy.ask_after or timedelta(0))
        return Effect(line=replace(line, said=replace(line.said, waits=again)))
    name = _SAID[question.kind, word]
    return Effect(line=decided(line, name, answered, at, now.counted_at), note=note)


def decided(line: LineState, name: str, units: int, at: datetime, counted_at: datetime | None = None) -> LineState:
    """`line` with a person's word about `units` more of it; `name` is a field of `Said`.

    Units in a count take that count's time, so that they stay when the count is undone; raises BadInput where there
    is no count since the units left.
    """
    if name == "counted":
        left = min((s.at for s in line.level.shipped), default=line.placed_at)
        if counted_at is None or counted_at < left:
            raise BadInput(f"{line.sku} has not been counted since these units left; answer sellable, or damaged.")
        at = counted_at
    said = _heard(line.said, name, units, at)
    if name == "left":
        return replace(line, said=replace(said, left=max(said.left, line.level.sent * line.pack_size) + units))
    return replace(line, said=replace(said, **{name: getattr(said, name) + units}))


def _heard(said: Said, what: str, units: int, at: datetime) -> Said:
    return replace(said, at=max(said.at, at), heard=(*said.heard, Word(what, units, at)))


# rows of the Review tab -----------------------------------------------------------------------------------------


def seen(question: Question) -> str:
    """What was seen, without the mark that Status puts before it."""
    return guard.unmarked(question.text)


def cells(question: Question, asked: Cell) -> dict[str, Cell]:
    """One question as a row of the Review tab. `asked` is its time as the sheet shows times."""
    return {
        "Id": short_id(question),
        "Asked": asked,
        "SKU": question.sku,
        "What was seen": seen(question),
        "What each answer does": words(question),
        "Suggested": suggested(question) or None,
        "Reference": question.reference or None,
    }


@dataclass(frozen=True)
class Decision:
    """A row of the Review tab in which a person chose an answer."""

    id: str
    word: str
    units: Cell
    note: str
    row: int


def decisions(rows: Sequence[Mapping[str, Cell]]) -> tuple[Decision, ...]:
    """The rows that carry a decision, by their Id."""
    chosen = [row for row in rows if row.get("Id") is not None and row.get("Decision") is not None]
    return tuple(
        Decision(str(r["Id"]), str(r["Decision"]), r.get("Units"), str(r.get("Note") or ""), int(str(r["_row"])))
        for r in chosen
    )


def units(decision: Decision) -> int | None:
    """The Units of a decision; None where it leaves them out. Raises BadInput on anything that is no whole number."""
    if decision.units is None:
        return None
    if not guard.is_count(decision.units):
        raise BadInput(f"Units: {guard.shown(decision.units)} is not a whole number.")
    return int(str(decision.units))
