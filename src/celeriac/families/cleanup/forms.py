"""What callers send about cleanups, as JSON, checked. None of it becomes a part of an SQL statement."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: Names and ids in a path or a form, which are looked for: what cannot be one is no question for the database.
PolicyName = Annotated[str, StringConstraints(max_length=64, pattern="^[a-z0-9_-]*$")]
RunId = Annotated[str, StringConstraints(max_length=128, pattern="^[A-Za-z0-9_.:-]*$")]

#: A table, which is compared with those that the configuration names.
TableName = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern="^[^\\x00]*$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RunForm(_Form):
    """How much a run may do, if that is less than the policy allows."""

    rows: int | None = Field(default=None, ge=1, le=2**53, description="Rows after which it ends")
    seconds: float | None = Field(
        default=None, gt=0, le=366 * 86_400, allow_inf_nan=False, description="Seconds after which it ends"
    )


class PauseForm(_Form):
    """How to pause a policy."""

    force: bool = Field(
        default=False, description="Cancel the job as well, and have the database refuse whatever it still does"
    )


class ResumeForm(_Form):
    """How to resume a policy."""

    run: bool | None = Field(
        default=None,
        description="Whether to begin a run at once. Default: if the last one was paused, to go on with it",
    )


class RestoreForm(_Form):
    """What to put back, and where."""

    policy: PolicyName
    run: RunId | None = Field(
        default=None,
        description="The run whose archives are restored. Of a policy that archives to a table, leave it out",
    )
    table: TableName | None = Field(
        default=None, description="Only this table, of those of the run, such as `orders.order_items`. Default: all"
    )
    into: TableName | None = Field(
        default=None, description="Another table for the rows of `table`. The settings have to allow it as well"
    )
    on_conflict: Literal["skip", "fail"] = Field(
        default="skip", description="What to do with a row whose key is in the table: leave that one, or stop there"
    )
