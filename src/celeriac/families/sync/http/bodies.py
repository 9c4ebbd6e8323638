"""Finds the records of a body, and errors in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from celeriac.core.checks import shown
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.http.model import ErrorRule
from celeriac.families.sync.http.passing import Passing
from celeriac.families.sync.http.paths import MISSING, DottedPath, JsonPath

#: Lists that are named when the body is an object, and no path leads into it.
_MOST_NAMED = 5


def items_at(path: JsonPath, body: Any) -> list[Any]:
    """Return the list of records of a body.

    Raises:
        SourceFailed: there is none.
    """
    found = path.find(body)
    if isinstance(found, list):
        return cast("list[Any]", found)
    if found is None and path.text:  # how some languages write an empty list
        return []
    if isinstance(found, dict) and not isinstance(path, DottedPath):
        return [found]
    raise SourceFailed(_why_no_list(path.text, found))


def _why_no_list(path: str, found: Any) -> str:
    if found is MISSING:
        return f"the body has nothing at records: {path!r}"
    if path:
        return f"the body has no list at records: {path!r}, but {shown(found)}"
    if not isinstance(found, dict):
        return f"the body is no list of records, but {shown(found)}"
    members = cast("dict[str, Any]", found)
    lists = [name for name, member in members.items() if isinstance(member, list)][:_MOST_NAMED]
    advice = f"its lists are {', '.join(map(shown, lists))}" if lists else "it has no list"
    return f"the body is an object, and `records` does not say where its list is; {advice}"


def check_error(rule: ErrorRule | None, find: Callable[[str], Any], hide: Callable[[str], str]) -> None:
    """Look whether an answer with status 200 is an error.

    Raises:
        Passing: it is one that passes.
        SourceFailed: it is another.
    """
    if rule is None:
        return
    found = find(rule.path)
    if found is MISSING or any(_is_same(found, each) for each in rule.unless):
        return
    told = f"the API answers with an error at {rule.path!r}: {hide(shown(found))}"
    if any(_is_same(found, each) for each in rule.passing):
        raise Passing(told)
    raise SourceFailed(told)


def _is_same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)
