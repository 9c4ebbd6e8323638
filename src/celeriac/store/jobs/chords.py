"""Chords: what Celery keeps of them on the server that keeps results, at Celery's keys and in its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from celeriac.store.scripts.script import Script, ScriptCall


class _Count(NamedTuple):
    id: str
    outcome: bytes | str
    place: str
    is_ordered: int
    life: int
    group_life: int


_COUNT = Script("count_chord_part", _Count, when_full=True)


@dataclass(frozen=True, slots=True)
class ChordKeys:
    """Where Celery keeps one chord.

    Attributes:
        outcomes: of its parts.
        difference: by which its size differs from what `size` says.
        size: how many parts it has.
        counted: which parts are counted.
        group: the group of its parts, if it was saved.
        claim: who calls its callback.
    """

    outcomes: str
    difference: str
    size: str
    counted: str
    group: str
    claim: str


@dataclass(frozen=True, slots=True)
class ChordPart:
    """A task that has ended, as a part of a chord.

    Attributes:
        task_id: its id.
        outcome: in Celery's format, as its callback's worker reads it.
        place: among the parts, as a score of a sorted set.
        is_ordered: whether outcomes are kept in the order of places.
    """

    task_id: str
    outcome: bytes | str
    place: str
    is_ordered: bool


def count(chord: ChordKeys, part: ChordPart, *, life: int, group_life: int) -> ScriptCall[bool]:
    """Count a part, once; True if all parts are counted, and the callback is still to be called.

    Args:
        life: seconds for which the chord is kept from now on; 0 for ever.
        group_life: the same for the group of its parts.
    """
    script_keys = [chord.outcomes, chord.difference, chord.size, chord.counted, chord.group, chord.claim]
    args = _Count(
        id=part.task_id,
        outcome=part.outcome,
        place=part.place,
        is_ordered=int(part.is_ordered),
        life=life,
        group_life=group_life,
    )
    return ScriptCall(_COUNT, script_keys, args, bool)
