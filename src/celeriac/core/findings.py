"""Findings: the results of the checks of `celeriac doctor`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """The gravity of a finding."""

    OK = "ok"
    WARN = "warn"
    """It works, but could work better or more safely."""
    FAIL = "fail"
    """It does not work."""


@dataclass(frozen=True)
class Finding:
    """The result of one check, and what to do about it."""

    check: str
    status: Status
    detail: str
    advice: str = ""
    snippet: str = ""
    """A line to copy as it is, which the advice is about."""

    def as_dict(self) -> dict[str, str]:
        told = asdict(self)
        return told if self.snippet else {name: value for name, value in told.items() if name != "snippet"}


def ok(check: str, detail: str) -> Finding:
    """Report that all is well."""
    return Finding(check, Status.OK, detail)


def warn(check: str, detail: str, advice: str) -> Finding:
    """Report that it works, and that `advice` would improve it."""
    return Finding(check, Status.WARN, detail, advice)


def fail(check: str, detail: str, advice: str) -> Finding:
    """Report that it does not work, and that `advice` would repair it."""
    return Finding(check, Status.FAIL, detail, advice)
