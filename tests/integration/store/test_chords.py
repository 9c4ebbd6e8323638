"""Counting the parts of a chord: as Celery's own workers do, which may run other parts of it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import redis
from celery.backends.redis import CHORD_PART_RETURN_LUA

from celeriac.store.jobs.chords import ChordKeys, ChordPart, count
from celeriac.store.redis.runner import run_blocking

LIFE, GROUP_LIFE = 1000, 2000


class Chord:
    """A chord of so many parts, as Celery leaves it on the server before its parts run."""

    def __init__(self, broker: redis.Redis, size: int, *, is_ordered: bool = True) -> None:
        group = f"celery-taskset-meta-{uuid4()}"
        self.broker = broker
        self.is_ordered = is_ordered
        self.keys = ChordKeys(*(group + suffix for suffix in (".j", ".t", ".s", ".d", "", ".c")))
        broker.set(self.keys.size, size)

    def count(self, place: int, outcome: str = "", life: int = LIFE) -> bool:
        part = ChordPart(f"task-{place}", outcome or f"outcome {place}", str(place), self.is_ordered)
        return run_blocking(self.broker, count(self.keys, part, life_s=life, group_life_s=GROUP_LIFE if life else 0))

    def count_by_celery(self, place: int) -> tuple[int, bool]:
        """How many parts are counted now, and whether Celery's worker is to call the callback."""
        keys = self.keys
        names = [keys.outcomes, keys.difference, keys.size, keys.counted, keys.group, keys.claim]
        args = [f"task-{place}", f"outcome {place}", int(self.is_ordered), place, LIFE, GROUP_LIFE, 10, "claim"]
        reply: Any = self.broker.eval(CHORD_PART_RETURN_LUA, len(names), *names, *args)
        return reply[0], bool(reply[3])

    @property
    def outcomes(self) -> list[str]:
        read = self.broker.zrange if self.is_ordered else self.broker.lrange
        return [outcome.decode() for outcome in read(self.keys.outcomes, 0, -1)]


def test_the_last_part_is_told_so_whatever_the_order(broker: redis.Redis) -> None:
    chord = Chord(broker, 3)
    assert [chord.count(place) for place in (2, 0, 1)] == [False, False, True]
    assert chord.outcomes == ["outcome 0", "outcome 1", "outcome 2"]


def test_a_part_that_runs_again_counts_once_with_its_first_outcome(broker: redis.Redis) -> None:
    chord = Chord(broker, 2)
    assert [chord.count(0), chord.count(0, "another outcome")] == [False, False]
    assert [chord.count(1), chord.count(1)] == [True, True]  # the callback is claimed by whoever is first to do so
    assert chord.outcomes == ["outcome 0", "outcome 1"]


@pytest.mark.parametrize("is_ordered", [True, False])
def test_workers_of_celery_count_other_parts_of_the_same_chord(broker: redis.Redis, is_ordered: bool) -> None:
    chord = Chord(broker, 4, is_ordered=is_ordered)
    assert not chord.count(0)
    assert chord.count_by_celery(1) == (2, False)
    assert not chord.count(2)
    assert chord.count_by_celery(2) == (3, False)  # the same part, run again there
    assert chord.count(3)
    assert chord.count_by_celery(3) == (4, True)  # as the one that was last does, to claim the callback
    assert chord.outcomes == [f"outcome {place}" for place in range(4)]


def test_a_chord_that_grew_waits_for_its_new_parts(broker: redis.Redis) -> None:
    chord = Chord(broker, 1)
    broker.incr(chord.keys.difference)  # as `add_to_chord` does
    assert [chord.count(0), chord.count(1)] == [False, True]


def test_nothing_is_left_behind_by_a_part_of_a_chord_whose_callback_was_called(broker: redis.Redis) -> None:
    chord = Chord(broker, 1)
    assert chord.count(0)
    broker.delete(chord.keys.outcomes, chord.keys.size, chord.keys.counted)
    broker.set(chord.keys.claim, "done", ex=300)
    assert not chord.count(0)
    assert chord.outcomes == []


def test_a_part_of_a_chord_of_unknown_size_is_kept_and_is_not_the_last(broker: redis.Redis) -> None:
    chord = Chord(broker, 1)
    broker.delete(chord.keys.size)
    assert not chord.count(0)
    assert chord.outcomes == ["outcome 0"]


def test_what_is_kept_of_a_chord_expires_unless_it_is_kept_for_ever(broker: redis.Redis) -> None:
    chord, for_ever = Chord(broker, 2), Chord(broker, 2)
    broker.set(chord.keys.group, "the group")
    chord.count(0)
    for_ever.count(0, life=0)
    lives = [broker.ttl(key) for key in (chord.keys.outcomes, chord.keys.size, chord.keys.counted, chord.keys.group)]
    assert lives == pytest.approx([LIFE, LIFE, LIFE, GROUP_LIFE], abs=5)
    assert broker.ttl(for_ever.keys.outcomes) == broker.ttl(for_ever.keys.counted) == -1
