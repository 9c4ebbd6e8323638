"""The API's description, in the words of the version that it names."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI


def describe_in_3_1(api: FastAPI) -> None:
    """Have `api` describe event streams as OpenAPI 3.1 can: by their media type.

    FastAPI describes their items with `itemSchema`, which came with 3.2, in a document that says 3.1; validators and
    generators refuse that. A `schema` would be that of a JSON value, and a stream is none.
    """
    describe = api.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        for path in document["paths"].values():
            for operation in path.values():
                for response in operation["responses"].values():
                    for content in response.get("content", {}).values():
                        if content.pop("itemSchema", None) is not None:
                            content.pop("schema", None)
        return document

    api.openapi = openapi
