"""Has a database look at all statements of a run without doing any: are its names, types and rights enough for them?"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, TextClause
from sqlalchemy.exc import DBAPIError

from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.statements import Parameters
from celeriac.families.cleanup.work import Plan


def explain_all(connection: Connection, plan: Plan) -> None:
    """EXPLAIN each statement. The table of an archive may be one that the first run creates: it is left out.

    Raises:
        PolicyInvalid: the database refuses one. The message names the table and the kind of the statement.
    """
    for step in plan.root.walk():
        for statement in _statements(plan, step):
            explained = plan.statements[step.path].wording.text(f"EXPLAIN {statement.text}")
            try:
                connection.execute(explained, _parameters(plan, step)).fetchall()
            except DBAPIError as error:
                what, said = statement.text.partition(" ")[0], str(error.orig).splitlines()[0]
                raise PolicyInvalid(
                    f"table {step.shape.shown}: the database refuses to {what} its rows: {said}"
                ) from None


def _statements(plan: Plan, step: Step) -> Iterator[TextClause]:
    of = plan.statements[step.path]
    yield from of.main
    if plan.policy.columns or not of.returns or plan.moved_to is not None:
        yield of.read_again
    if plan.moved_to is not None:
        yield of.delete


def _parameters(plan: Plan, step: Step) -> Parameters:
    """Return a value for each parameter that a statement may have. No row has a key that is NULL."""
    of, types = plan.statements[step.path], {column.name: column.declared for column in step.shape.columns}
    key = (None,) * len(step.shape.key)
    given = plan.condition(0) | of.given_keys([key]) | of.wording.after_parameters(key) | {"celeriac_limit": 0}
    given |= {f"celeriac_key_{at}": None for at in range(len(key))}
    given |= {f"celeriac_value_{at}": None for at in range(len(plan.policy.columns))}
    if step.link is not None:
        refers = (None,) * len(step.link.columns)
        given |= of.wording.among_parameters("parents", step.link.columns, types, [refers])
    return given
