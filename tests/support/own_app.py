"""An application as a user writes it, to be named by `CELERIAC_APP`."""

from celeriac import Celeriac

app = Celeriac("own")
not_an_app = "a string"


@app.job(name="own.add")
async def add(a: int, b: int) -> int:
    return a + b
