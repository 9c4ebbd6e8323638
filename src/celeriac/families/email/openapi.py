"""Describes the bodies of mail requests for OpenAPI: each is a form with a CSV file, or JSON."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

_CSV = {
    "type": "string",
    "format": "binary",
    "description": "CSV, UTF-8, with a header row; one column is `email`, the others are variables",
}


def openapi_body(form: type[BaseModel], listed: type[BaseModel], *, recipients: bool = True) -> dict[str, Any]:
    """Describe a request body. `form` has the fields of a form but the CSV file `recipients`, `listed` those of JSON.

    `recipients` says whether they are required.
    """
    schema = _resolved(form)
    schema["properties"] = {name: _in_a_form(field) for name, field in schema["properties"].items()}
    schema["properties"]["recipients"] = _CSV
    schema["required"] = [*schema.get("required", ()), *(["recipients"] if recipients else [])]
    content = {
        "multipart/form-data": {"schema": schema, "encoding": {"recipients": {"contentType": "text/csv"}}},
        "application/json": {"schema": _resolved(listed)},
    }
    return {"requestBody": {"required": True, "content": content}}


def _in_a_form(field: dict[str, Any]) -> dict[str, Any]:
    """Describe a field of a form. A form has no null, and lists and objects are JSON in a text."""
    if "anyOf" in field:
        (said,) = [option for option in field["anyOf"] if option["type"] != "null"]
        field = {**said, **{key: value for key, value in field.items() if key not in ("anyOf", "default")}}
    if field["type"] in ("array", "object"):
        return {"type": "string", "description": field["description"]}
    return field


def _resolved(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's schema with its definitions in their places: references would lead nowhere in the document."""
    schema = model.model_json_schema()
    return cast(dict[str, Any], _inlined(schema, schema.pop("$defs", {})))


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    match value:
        case {"$ref": str(name), **others}:
            return {**_inlined(definitions[name.rpartition("/")[2]], definitions), **others}
        case dict():
            return {key: _inlined(item, definitions) for key, item in cast("dict[str, Any]", value).items()}
        case list():
            return [_inlined(item, definitions) for item in cast("list[Any]", value)]
        case _:
            return value
