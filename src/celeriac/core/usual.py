"""Recognises usual messages quickly, so that `checks` need not check their parts.

Each message of each job passes here, so one step of the interpreter looks at many parts where possible. The answer is
never yes for a message that `checks` would refuse or fill in. A no says nothing.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, cast

from celeriac.core.checks import FAMILIAR, LONGEST_NAME, MOST_RETRIES, are_limits

JSON = "application/json"
#: The fields that Celery's publisher writes, and ours. A message that a worker returned has more.
_PARTS = frozenset({"body", "content-encoding", "content-type", "headers", "properties"})
_NAMES = itemgetter("id", "task", "root_id", "parent_id", "group", "shadow")
_PLACES = itemgetter("exchange", "routing_key")
_REST = itemgetter("eta", "expires", "retries", "group_index", "timelimit", "stamped_headers", "stamps")
_NO_CANVAS: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_NO_LIMITS = [None, None]
_TEXT_OR_NULL = frozenset({str, type(None)})


def is_usual(message: Any) -> bool:
    """Return whether a parsed message is a due task in JSON, and all of it but the body is right."""
    try:
        headers, properties = message["headers"], message["properties"]
        info = properties["delivery_info"]
        told = properties.get
        names = (*_NAMES(headers), *_PLACES(info), told("reply_to"), told("correlation_id"))
        eta, expires, retries, index, limits, stamped, stamps = _REST(headers)
        together = "".join(filter(None, names))
        return bool(
            names[0]
            and names[1]
            and _TEXT_OR_NULL.issuperset(map(type, names))
            and len(together) <= LONGEST_NAME
            and together.isascii()
            and eta is None
            and expires is None
            and type(retries) is int
            and 0 <= retries < MOST_RETRIES
            and (index is None or type(index) is int)
            and (limits is None or limits == _NO_LIMITS or are_limits(limits))
            and stamped is None
            and (stamps is None or stamps == {})
            and message["content-type"] == JSON
            and message["content-encoding"] == "utf-8"
            and message.keys() == _PARTS
            and headers.keys() <= FAMILIAR
            and headers.get("compression") is None
            and len(info) == 2
        )
    except (KeyError, TypeError, AttributeError):
        return False


def has_usual_arguments(body: Any) -> bool:
    """Return whether the decoded body of a task's message is right, and no tasks follow."""
    if not isinstance(body, list) or len(cast("list[Any]", body)) != 3:
        return False
    args, kwargs, embed = cast("list[Any]", body)
    return (
        isinstance(args, list)
        and isinstance(kwargs, dict)
        and embed == _NO_CANVAS
        and "".join(cast("dict[str, Any]", kwargs)).isascii()
    )
