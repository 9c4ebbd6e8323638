"""What `celeriac doctor` has to say about one thing it has looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """How serious it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but not as well or as safely as it could."""
    FAIL = "fail"
    """Something does not work."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, and what to do about it."""

    check: str
    status: Status
    detail: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def ok(check: str, detail: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, detail)


def warn(check: str, detail: str, advice: str) -> Finding:
    """It works, but `advice` would make it better."""
    return Finding(check, Status.WARN, detail, advice)


def fail(check: str, detail: str, advice: str) -> Finding:
    """It does not work until `advice` is followed."""
    return Finding(check, Status.FAIL, detail, advice)
