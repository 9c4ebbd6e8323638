"""HTTP APIs as sources of syncs.

`HttpSource` (model.py) describes an API, and `HttpStream` what to read of it. `HttpReader` (reader.py) reads it:

    reader = HttpReader(source, {"orders": HttpStream(path="orders")}, app.limits)
    async for page in reader.pages(Asked(stream="orders")): ...
"""
