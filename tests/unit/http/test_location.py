"""Where a job is, for the header of an answer."""

from __future__ import annotations

from fastapi import FastAPI, Request

from celeriac import Celeriac
from celeriac.http.jobs import location_header


def asked_of(api: FastAPI) -> Request:
    return Request({"type": "http", "app": api, "root_path": "", "headers": []})


def test_the_header_names_the_job_where_the_application_has_the_job_api() -> None:
    app, api = Celeriac("shop"), FastAPI()
    api.include_router(app.router(), prefix="/jobs")
    assert location_header(asked_of(api), app, "7") == {"Location": "/jobs/7"}


def test_there_is_none_where_the_job_api_was_left_out() -> None:
    assert location_header(asked_of(FastAPI()), Celeriac("shop"), "7") == {}
