"""A job that splits its work into children, and continues when all have ended.

$ celeriac up --app album:app        # in one terminal
$ python album.py                    # in another
running, 0 of 12 photos
...
succeeded
11 of 12 resized, 1 failed
"""

import asyncio
from random import uniform

from celeriac import Celeriac, JobContext

app = Celeriac("album")


@app.job
async def resize(photo: int) -> None:
    await asyncio.sleep(uniform(0.1, 0.3))  # stands for work
    if photo == 7:
        raise ValueError("photo 7 cannot be read")


@app.job
async def resize_album(job: JobContext, photos: int) -> str:
    children = await job.fan_out(resize.call(photo=number) for number in range(1, photos + 1))
    return f"{children.succeeded} of {children.total} resized, {children.failed} failed"


async def main() -> None:
    handle = await resize_album.enqueue(photos=12)
    shown = ""
    while not (record := await handle.status()).state.finished:
        children = record.children
        line = (
            f"{record.state}, {children['total'] - children['open']} of {children['total']} photos" if children else ""
        )
        if line != shown:
            print(line)
            shown = line
        await asyncio.sleep(0.02)
    print(record.state)
    print(await handle.result())
    await app.client.aclose()


if __name__ == "__main__":
    asyncio.run(main())
