"""Celery as you know it: tasks, `delay` and canvas, in a Celeriac application, from code without an event loop.

$ celeriac up --app plain_celery:app # in one terminal
$ python plain_celery.py             # in another
7
[0, 1, 4, 9]
14
plain_celery.add succeeded
"""

import asyncio

from celery import chain, chord, group

from celeriac import Celeriac

app = Celeriac("plain_celery")


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.job
async def square(number: int) -> int:
    """A typed job, which has a Celery task too."""
    return number * number


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


def main() -> None:
    print(add.delay(3, 4).get(timeout=20))
    print(group(square.task.s(number=n) for n in range(4))().get(timeout=20))
    print(chord((square.task.s(number=n) for n in range(4)), total.s())().get(timeout=20))
    result = chain(add.s(1, 2), add.s(4))()
    result.get(timeout=20)
    print(*asyncio.run(look(result.id)))


async def look(job_id: str) -> tuple[str, str]:
    """Read the record of a Celery task, which is like that of any job."""
    record = await app.client.get(job_id)
    await app.client.aclose()
    return record.task, record.state


if __name__ == "__main__":
    main()
