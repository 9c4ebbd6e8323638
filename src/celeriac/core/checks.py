"""Checks the message of a task, so that later code can rely on its shape.

Celery's protocol: https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from celeriac.core.clock import aware, to_datetime, to_ms
from celeriac.core.errors import InvalidMessage

#: Characters of an id, and of any other name that a message carries.
LONGEST_NAME = 1024
#: The members of a body beside the arguments: the task's place in Celery's canvas.
_CANVAS = frozenset({"callbacks", "errbacks", "chain", "chord"})
_NAMES = ("root_id", "parent_id", "group", "shadow")
#: Headers of every task. Users may add their own.
FAMILIAR = frozenset(
    {
        *("lang", "task", "id", "root_id", "parent_id", "group", "group_index", "shadow", "expires", "retries"),
        *("timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting"),
        *("stamped_headers", "stamps", "compression", "eta"),
    }
)
#: More retries than any task makes. A larger number is forged, or would overflow a counter.
MOST_RETRIES = 2**31
#: Characters of a wrong value that are shown.
_SHOWN = 60


def fill_in(headers: dict[str, Any]) -> None:
    """Give `retries` and `expires` that are null or empty the form on which Celery relies."""
    if "retries" in headers and headers["retries"] is None:
        headers["retries"] = 0
    if "expires" in headers and not headers["expires"]:
        headers["expires"] = None


def check_task(headers: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Check the headers and properties of a task's message.

    Raises:
        InvalidMessage: one is missing, or has a wrong type.
    """
    check_name(headers, "headers", "id", required=True)
    check_name(headers, "headers", "task", required=True)
    for name in _NAMES:
        check_name(headers, "headers", name)
    check_name(properties, "properties", "reply_to")
    check_name(properties, "properties", "correlation_id")
    time_ms(headers, "expires")
    time_ms(headers, "eta")
    retries, index = headers.get("retries", 0), headers.get("group_index")
    if not is_number(retries, int) or not 0 <= retries < MOST_RETRIES:
        raise InvalidMessage(f"headers.retries must be a number of retries; it is {shown(retries)}")
    if index is not None and not is_number(index, int):
        raise InvalidMessage(f"headers.group_index must be a number; it is {shown(index)}")
    limits = headers.get("timelimit")
    if limits is not None and not are_limits(limits):
        raise InvalidMessage(f"headers.timelimit must be two numbers of seconds, or null; it is {shown(limits)}")
    stamped, stamps = headers.get("stamped_headers"), headers.get("stamps")
    if stamped is not None and not (_is_list(stamped) and all(isinstance(name, str) for name in stamped)):
        raise InvalidMessage(f"headers.stamped_headers must be a list of names; it is {shown(stamped)}")
    if stamps is not None and not isinstance(stamps, dict):
        raise InvalidMessage(f"headers.stamps must be an object; it is {shown(stamps)}")


def check_sendable(task: str, job_id: str, options: Mapping[str, Any]) -> None:
    """Check the options with which a task is published. Celery would publish some that its workers cannot read.

    Raises:
        InvalidMessage: workers could not read the message.
    """
    check_name({"task": task}, "headers", "task", required=True)
    check_name({"id": job_id}, "headers", "id", required=True)
    for name in ("eta", "expires"):
        if isinstance(options.get(name), str):
            time_ms(options, name)


def check_arguments(body: Any) -> None:
    """Check the decoded body of a task's message: arguments, named arguments, and the tasks that follow.

    Raises:
        InvalidMessage: the body has another form.
    """
    if not _is_list(body) or len(body) != 3:
        raise InvalidMessage(f"the body must be [args, kwargs, embed]; it is {shown(body)}")
    args, kwargs, embed = body
    if not _is_list(args):
        raise InvalidMessage(f"args must be a list; it is {shown(args)}")
    if not isinstance(kwargs, dict) or not _are_texts(cast("dict[Any, Any]", kwargs)):
        raise InvalidMessage(f"kwargs must be an object; it is {shown(kwargs)}")
    if embed is None:
        return
    if not isinstance(embed, dict) or not _CANVAS.issuperset(cast("dict[Any, Any]", embed)):
        raise InvalidMessage(f"embed may hold {', '.join(sorted(_CANVAS))}, and nothing else; it is {shown(embed)}")
    check_canvas(cast("dict[str, Any]", embed))


def check_canvas(embed: Mapping[str, Any]) -> None:
    """Check a task's place in Celery's canvas.

    Raises:
        InvalidMessage: a task to call is not a signature, or a list of them.
    """
    for name in ("callbacks", "errbacks", "chain"):
        called = embed.get(name)
        if called is not None and not (_is_list(called) and all(map(_is_signature, called))):
            raise InvalidMessage(f"embed.{name} must be a list of signatures; it is {shown(called)}")
    if embed.get("chord") is not None and not _is_signature(embed["chord"]):
        raise InvalidMessage(f"embed.chord must be a signature; it is {shown(embed['chord'])}")


def name_of(facts: Mapping[str, Any], name: str) -> str:
    """Return a name from a message's headers or properties; empty if it is absent or unusable."""
    try:
        check_name(facts, "", name)
    except InvalidMessage:
        return ""
    return facts.get(name) or ""


def time_ms(headers: Mapping[str, Any], name: str) -> int | None:
    """Return a time of the headers in ms since the epoch. A time without a zone is UTC.

    Raises:
        InvalidMessage: it is not a time in ISO 8601.
    """
    text = headers.get(name)
    if not text:  # Celery reads that as no time
        return None
    try:
        return to_ms(aware(datetime.fromisoformat(text)))
    except (TypeError, ValueError, OverflowError):
        raise InvalidMessage(f"headers.{name} must be a time in ISO 8601; it is {shown(text)}") from None


def due_at(headers: Mapping[str, Any]) -> datetime | None:
    """Return when the task of a message is due; None if its headers have no valid time."""
    try:
        return to_datetime(time_ms(headers, "eta"))
    except (ValueError, OverflowError):
        return None


def check_name(facts: Mapping[str, Any], where: str, name: str, *, required: bool = False) -> None:
    """Check a name: text that can be sent, or null unless it is `required`.

    Raises:
        InvalidMessage: it is neither, or too long.
    """
    value = facts.get(name)
    if value is None and not required:
        return
    if not isinstance(value, str) or len(value) > LONGEST_NAME or (required and not value) or not _is_text(value):
        least = "1 to" if required else "at most"
        raise InvalidMessage(
            f"{where}.{name} must be text of {least} {LONGEST_NAME} characters; it is {shown(value, name in facts)}"
        )


def _are_texts(values: Iterable[Any]) -> bool:
    try:
        return _is_text("".join(values))
    except TypeError:
        return False


def _is_text(value: Any) -> bool:
    """Return whether it is text that UTF-8 can encode. JSON may contain lone surrogates."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_signature(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(cast("dict[Any, Any]", value).get("task"), str)


def is_number(value: Any, kind: Any) -> bool:
    """Return whether it is a number of that type. To Python, `True` would be one."""
    return isinstance(value, kind) and not isinstance(value, bool)


def are_limits(value: Any) -> bool:
    """Return whether it is a soft and a hard time limit in seconds. Either may be null."""
    return _is_list(value) and len(value) == 2 and all(map(_is_limit, value))


def _is_limit(value: Any) -> bool:
    return value is None or (is_number(value, int | float) and math.isfinite(value) and value >= 0)


def shown(value: Any, is_there: bool = True) -> str:
    """Describe a value of any size in one line of bounded length."""
    if not is_there:
        return "missing"
    if isinstance(value, dict | list | tuple):
        kind = "an object" if isinstance(value, dict) else "a list"
        return f"{kind} of {len(cast('list[Any]', value))}"
    if isinstance(value, str):
        return ascii(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 4 * _SHOWN:
        return "a number of many digits"
    return ascii(value) if isinstance(value, int | float) else type(cast(object, value)).__name__
