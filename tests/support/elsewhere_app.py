"""A plain application, or one of ours, whose results are kept by a backend that is not ours."""

import os

from celery import Celery

from celeriac import Celeriac, celery_settings

broker_url = os.environ["ELSEWHERE_URL"]
settings = celery_settings(broker_url, lease=2)
if os.environ["ELSEWHERE_BACKEND"] != "ours":
    settings["result_backend"] = os.environ["ELSEWHERE_BACKEND"] or None
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
