"""Says what the refusals of some recipients mean for the whole mailing. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from celeriac.families.email.replies import Verdict

#: Refusals by policy in a row that stop a mailing which the server took mails of before.
POLICY_IN_A_ROW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAt:
    """When a mailing stops by itself.

    Attributes:
        hard: percent of recipients whose address does not exist.
        soft: percent of recipients that failed for another reason, or were given up.
        floor: recipients that must have an outcome before their rates say anything.
    """

    hard: float = 10.0
    soft: float = 30.0
    floor: int = 100


def limits_of(own: Mapping[str, Any] | None, default: StopAt) -> StopAt:
    """Return the limits of a mailing: its own, and for those that it does not name the default."""
    return replace(default, **(own or {}))


def why_stop(sent: int, failed: Mapping[str | None, int], limits: StopAt) -> str | None:
    """Return why a mailing has to stop, or None.

    Args:
        failed: the numbers of recipients that failed, by the kind of failure. None: no server was asked.
    """
    asked = sent + sum(number for kind, number in failed.items() if kind is not None)
    if asked < limits.floor:
        return None
    hard = failed.get(Verdict.HARD, 0)
    soft = asked - sent - hard
    for name, number, limit in (("hard", hard, limits.hard), ("soft", soft, limits.soft)):
        if number * 100 > limit * asked:
            rate = 100 * number / asked
            return (
                f"too many {name} failures: {number:,} of {asked:,} recipients ({rate:.1f} %; the limit is {limit:g} %)"
            )
    return None


def since(
    baseline: Mapping[str, Any] | None, sent: int, failed: Mapping[str | None, int]
) -> tuple[int, dict[str | None, int]]:
    """Return the numbers of a mailing without those of `baseline`. A mailing that was resumed after a stop is judged by
    what came after: somebody has looked at what came before.
    """
    if baseline is None:
        return sent, dict(failed)
    before: Mapping[str, int] = baseline["failed"]
    return sent - baseline["sent"], {kind: number - before.get(kind or "", 0) for kind, number in failed.items()}


def holds(kind: Verdict, *, was_held: bool, has_sent: bool) -> bool:
    """Return whether a refused recipient stays open until somebody resumes the mailing, rather than fail.

    A refusal by policy usually concerns the sender, so it fails nobody. But a server that takes the other mails, and
    after the mailing was resumed refuses this one again, means this recipient. A message that is refused before
    the server has taken any says something of all of them.

    Args:
        was_held: the mailing was resumed since a refusal of the same kind.
        has_sent: the server has taken mails of this mailing.
    """
    if kind is Verdict.POLICY:
        return not (was_held and has_sent)
    return kind is Verdict.MESSAGE and not was_held and not has_sent


def stops(*, has_sent: bool, in_a_row: int) -> bool:
    """Return whether a recipient that is held stops the mailing at once, before the others were tried."""
    return not has_sent or in_a_row >= POLICY_IN_A_ROW
