"""A plain application, or one of ours, whose results are kept by a backend that is not ours."""

import os
import shutil
import time

from celery import Celery

from celeriac import Celeriac, celery_settings
from celeriac.engine import unstored

broker_url = os.environ["ELSEWHERE_URL"]
settings = celery_settings(broker_url, lease=2)
if os.environ["ELSEWHERE_BACKEND"] != "ours":
    settings["result_backend"] = os.environ["ELSEWHERE_BACKEND"] or None
# By Celery's own policy a result is offered twenty times to a Redis that is away.
settings["result_backend_transport_options"] = {"retry_policy": {"max_retries": 2, "interval_max": 0.1}}
# Workers go on trying for ten seconds, in which a test of what they do then learns nothing.
unstored._PATIENCE_S = float(os.environ.get("ELSEWHERE_PATIENCE", unstored._PATIENCE_S))
made_of = Celeriac if os.environ["ELSEWHERE_CLASS"] == "class" else Celery
app = made_of("elsewhere", config_source=settings)


@app.task(name="elsewhere.add")
def add(a: int, b: int) -> int:
    return a + b


@app.task(name="elsewhere.add_async")
async def add_async(a: int, b: int) -> int:
    return a + b


@app.task(name="elsewhere.fail")
def fail() -> None:
    raise ValueError("no stock")


if isinstance(app, Celeriac):

    @app.job(name="elsewhere.typed")
    async def typed(a: int, b: int) -> int:
        return a + b


@app.task(name="elsewhere.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="elsewhere.outlive")
def outlive(directory: str, *, fails: bool = False) -> str:
    """Ends when its results can be stored nowhere any more."""
    shutil.rmtree(directory, ignore_errors=True)
    if fails:
        raise ValueError("no stock")
    return directory


@app.task(name="elsewhere.outlive_async")
async def outlive_async(directory: str, *, fails: bool = False) -> str:
    return outlive.run(directory, fails=fails)


@app.task(name="elsewhere.overrun", time_limit=0.5)
def overrun(directory: str) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    while True:
        time.sleep(0.01)


if isinstance(app, Celeriac):

    @app.job(name="elsewhere.outlive_typed")
    def outlive_typed(directory: str, fails: bool = False) -> str:
        return outlive.run(directory, fails=fails)
