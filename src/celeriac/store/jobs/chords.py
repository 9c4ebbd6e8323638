"""Counts the parts of chords in the result store, at Celery's keys and in its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from celeriac.store.scripts.script import Script, ScriptCall


class _Count(NamedTuple):
    id: str
    outcome: bytes | str
    place: str
    is_ordered: int
    life_s: int
    group_life_s: int


_COUNT = Script("count_chord_part", _Count, when_full=True)


@dataclass(frozen=True, slots=True)
class ChordKeys:
    """The keys at which Celery keeps one chord.

    Attributes:
        outcomes: the outcomes of its parts.
        difference: a correction to `size`.
        size: the number of its parts.
        counted: the parts that are counted.
        group: the group of its parts, if it was saved.
        claim: the worker that calls its callback.
    """

    outcomes: str
    difference: str
    size: str
    counted: str
    group: str
    claim: str


@dataclass(frozen=True, slots=True)
class ChordPart:
    """A part of a chord: a task that has ended.

    Attributes:
        task_id: the task's id.
        outcome: the outcome in Celery's format, which the callback's worker reads.
        place: its place among the parts, as a score of a sorted set.
        is_ordered: whether the outcomes keep the order of places.
    """

    task_id: str
    outcome: bytes | str
    place: str
    is_ordered: bool


def count(chord: ChordKeys, part: ChordPart, *, life_s: int, group_life_s: int) -> ScriptCall[bool]:
    """Count a part once. Reply True if all parts are counted and the callback has not been called.

    Args:
        life_s: seconds for which the chord is kept from now on; 0: for ever.
        group_life_s: seconds for which the group of its parts is kept; 0: for ever.
    """
    script_keys = [chord.outcomes, chord.difference, chord.size, chord.counted, chord.group, chord.claim]
    args = _Count(
        id=part.task_id,
        outcome=part.outcome,
        place=part.place,
        is_ordered=int(part.is_ordered),
        life_s=life_s,
        group_life_s=group_life_s,
    )
    return ScriptCall(_COUNT, script_keys, args, bool)
