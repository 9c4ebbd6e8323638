"""Finds what would end a run: rows of tables that the policy leaves alone, and that refer to rows that should go."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.plans import Step
from celeriac.families.cleanup.shapes import Reference
from celeriac.families.cleanup.statements import Parameters
from celeriac.families.cleanup.work import Plan


def rows_in_the_way(connection: Connection, plan: Plan, condition: Parameters) -> Iterator[str]:
    """Give a warning for each foreign key that has such rows now."""
    for step in plan.root.walk() if plan.policy.removes else ():
        for one in _left_alone(step):
            statements, referring = plan.statements[step.path], TableName(one.schema, one.table)
            query = statements.any_reference(referring.quoted(connection), one, plan.parents(step))
            if connection.execute(query, condition).first() is not None:
                listed = "archive to files, and list it in `children`" if plan.moved_to else "list it in `children`"
                yield (
                    f"rows of {referring} refer to rows of {step.shape.shown} that should go "
                    f"({', '.join(one.columns)}, ON DELETE {one.on_delete or 'NO ACTION'}), so that a run would end "
                    f"there: {listed}, or leave such rows out of the condition"
                )


def _left_alone(step: Step) -> Iterator[Reference]:
    """Give the foreign keys of other tables for which neither the policy nor the database does anything."""
    listed = {(one.shape.schema, one.shape.name, one.link and one.link.columns) for one in step.children}
    for one in step.shape.references:
        is_own = (one.schema, one.table) == (step.shape.schema, step.shape.name)
        is_listed = (one.schema, one.table, one.columns) in listed
        if not (is_own or is_listed or one.empties or one.cascades):
            yield one
