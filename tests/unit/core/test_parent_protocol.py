"""What a worker's processes and their parent tell each other."""

from __future__ import annotations

from typing import get_args

import pytest

from celeriac.core.errors import ApplicationNotLoaded
from celeriac.core.exits import ExitCode, exit_code
from celeriac.core.parent_protocol import (
    Ended,
    Fork,
    Forked,
    Message,
    NotForked,
    Ready,
    Refused,
    Retiring,
    Serving,
    Unfit,
    decode,
    encode,
)

MESSAGES: list[Message] = [
    Serving(17, "redis://:secret@127.0.0.1:6379/0"),
    Ready(),
    Retiring("has begun 3 tasks"),
    Refused(6, "two\nlines", "trace"),
    Unfit("starts a thread"),
    Fork(["worker", "-Q", "a b"]),
    Forked(17),
    NotForked("no memory"),
    Ended(17, -9),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_arrives_as_it_was_sent_on_one_line(message: Message) -> None:
    line = encode(message)
    assert (line.count(b"\n"), decode(line)) == (1, message)


NO_MESSAGES = ["", "Ready", "ready", '["Ready', '["Gone", 1]', '["Ended", 1]', "[]", "7", "{}", "null"]


def test_every_kind_of_message_is_tried_above() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))


@pytest.mark.parametrize("line", NO_MESSAGES)
def test_what_only_looks_like_a_message_is_none(line: str) -> None:
    assert decode(line) is None


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Serving(17, "redis://:secret@127.0.0.1:6379/0"))


def test_a_refusal_carries_the_error_to_the_parent() -> None:
    refused = Refused.because_of(ApplicationNotLoaded("no module 'x'", "Traceback of the import"))
    error = refused.as_error()
    assert (str(error), error.traceback, exit_code(error)) == (
        "no module 'x'",
        "Traceback of the import",
        ExitCode.APPLICATION,
    )
