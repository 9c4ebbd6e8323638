"""Models whose docstrings describe their fields, also in the description of the API (OpenAPI)."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

_HEAD = "Attributes:"


def attributes_of(kind: type) -> dict[str, str]:
    """Return what the part `Attributes:` of a class's docstring says of each, by name."""
    lines = (inspect.getdoc(kind) or "").partition(_HEAD)[2].splitlines()
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        text = line.strip()
        if line.startswith("    ") and not line.startswith("     "):
            named, _, text = text.partition(": ")
            names = [name.strip() for name in named.split(",")]
        for name in names if text else ():
            found[name] = f"{found.get(name, '')} {text}".strip()
    return {name: text[:1].upper() + text[1:].removesuffix(".") for name, text in found.items()}


class Described(BaseModel):
    """Describes each field in the JSON Schema by the docstring of its class."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        schema = handler(core_schema)
        model = handler.resolve_ref_schema(schema)
        model["description"] = (inspect.getdoc(cls) or "").partition(_HEAD)[0].strip()
        for name, text in attributes_of(cls).items():
            if name in model.get("properties", {}):
                model["properties"][name].setdefault("description", text)
        return schema
