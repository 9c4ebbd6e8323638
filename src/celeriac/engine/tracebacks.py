"""Tracebacks as their readers need them: from the job's own code on."""

from __future__ import annotations

import concurrent.futures
import traceback
from pathlib import Path
from types import TracebackType

import celery

from celeriac import core

#: Where the frames come from that stand between the worker and the job.
_MACHINERY = (
    str(Path(__file__).parent),
    *(str(Path(str(package.__file__)).parent) for package in (core, celery, concurrent.futures)),
)


def format_error(error: BaseException) -> str:
    """The traceback of `error` as Python prints it, without the frames of the machinery that called the job.

    An error that stands for one of another process has that one's as text.
    """
    elsewhere = getattr(error, "celeriac_traceback", None)
    if elsewhere is not None:
        return str(elsewhere)
    return "".join(traceback.format_exception(type(error), error, _from_job_on(error.__traceback__)))


def _from_job_on(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_MACHINERY):
        frames = frames.tb_next
    return frames
