"""The base of models of definitions, such as those in YAML files."""

from __future__ import annotations

import json
from hashlib import sha256

from pydantic import BaseModel, ConfigDict


class Exact(BaseModel):
    """A model that knows all of its fields. Its errors never show what was given: it may be a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    def digest(self) -> str:
        """Return what tells definitions apart that mean something else, however they are written."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
