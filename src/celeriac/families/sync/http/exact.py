"""The base of all models that describe an HTTP source."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Exact(BaseModel):
    """A model that knows all of its fields, and whose errors never show what was given: it may be a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)
