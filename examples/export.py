"""Progress, and a cancellation that lets the job clean up.

$ celeriac up --app export:app       # in one terminal
$ python export.py                   # in another
... of 1000 rows
...
cancelling
cancelled
the half-written file is gone: True
"""

import asyncio
from pathlib import Path

from celeriac import Celeriac, JobContext

app = Celeriac("export")
FILE = Path("orders.csv")


@app.job
async def export(job: JobContext, rows: int) -> str:
    draft = FILE.with_suffix(".part")
    try:
        with draft.open("w") as file:
            for row in range(rows):
                job.progress(row, rows)
                file.write(f"{row}\n")
                await asyncio.sleep(0.01)
        draft.rename(FILE)
    finally:
        draft.unlink(missing_ok=True)
    return str(FILE)


async def main() -> None:
    handle = await export.enqueue(rows=1000)
    async for event in handle.events():
        if event.name == "progress":
            print(f"{event.data['done']:g} of {event.data['total']:g} rows")
            if event.data["done"] > 50:
                break
    print("cancelling")
    await handle.cancel()
    print((await app.client.wait(handle.id)).state)
    print("the half-written file is gone:", not FILE.with_suffix(".part").exists())
    await app.client.aclose()


if __name__ == "__main__":
    asyncio.run(main())
