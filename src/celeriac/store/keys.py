"""Every key and channel of Celeriac in Redis. No other module writes one out."""

from __future__ import annotations

import hashlib

PREFIX = "celeriac:"

#: Sorted set of all job ids by creation time in ms, for listing; trimmed at every enqueue.
JOB_INDEX = PREFIX + "jobs"
#: Channel on which workers hear the id of a job that is to be cancelled.
CANCEL_CHANNEL = PREFIX + "cancel"
#: Channel of a listener that has no other channel. Nobody publishes on it.
IDLE_CHANNEL = PREFIX + "idle"
#: List of messages that workers of an earlier version could not read. They are dead letters now.
UNREADABLE = PREFIX + "unreadable"
#: Stream of dead letters: messages that were given up. They stay until someone replays or drops them.
DEAD = PREFIX + "dead"
#: Sorted set of receipts whose messages were brought back from vanished workers, by that time; trimmed.
VOID = PREFIX + "void"
#: String that is there while more listen to one kind of channel than scripts list: they publish for every job then.
CROWD = PREFIX + "crowd"
#: Sorted set of tasks that have been revoked, by that time in ms; trimmed.
REVOKED = PREFIX + "revoked"
#: Sorted set of workers by the time when their lease runs out; trimmed then.
LEASES = PREFIX + "leases"
#: String: the last time when a worker looked for leases that have run out, in ms.
LOOKED = PREFIX + "looked"
#: A part of all keys of limits: a hash tag, which keeps them on one node of a cluster, so that one script can use them.
_LIMITS = "{limits}:"


def record(job_id: str) -> str:
    """Hash: one job's record. `core.records.parse_record` and the scripts know its fields."""
    return f"{PREFIX}job:{job_id}"


def events(job_id: str) -> str:
    """Stream of one job's events, and the channel that announces new ones."""
    return f"{PREFIX}events:{job_id}"


def idempotency(key: str) -> str:
    """String `<fingerprint>:<job id>`: the request of a caller's idempotency key. Hashed, as any text may be a key."""
    return f"{PREFIX}idempotency:{hashlib.sha256(key.encode()).hexdigest()}"


def result(job_id: str) -> str:
    """String: the outcome in Celery's format, at Celery's key, so that `AsyncResult` finds it."""
    return f"celery-task-meta-{job_id}"


def held(worker: str) -> str:
    """Hash: the messages that a worker has taken and not acknowledged, by receipt."""
    return f"{PREFIX}held:{worker}"


def delayed(queue_name: str) -> str:
    """Sorted set: messages that go to a queue when they are due."""
    return f"{PREFIX}delayed:{queue_name}"


def queue(name: str) -> str:
    """List: kombu's key of a queue (its default priority), so that stock workers and Flower share it."""
    return name


def bucket(limit: str) -> str:
    """Hash: what is left of a limit's rate and of its day, and when refused askers come back."""
    return f"{PREFIX}{_LIMITS}bucket:{limit}"


def slots(limit: str) -> str:
    """Sorted set: who holds a limit that bounds concurrency, by the time until which."""
    return f"{PREFIX}{_LIMITS}slots:{limit}"


def grant(grant_id: str) -> str:
    """String: what one call took under its limits, so that it can be given back once."""
    return f"{PREFIX}{_LIMITS}grant:{grant_id}"
