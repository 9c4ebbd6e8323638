"""What `celeriac cleanup` prints for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from celeriac.terminal import Column, print_facts, print_rows, print_table, shown_cell

if TYPE_CHECKING:
    from celeriac.families.cleanup.dry_run import Preview

_COLOURS = {
    "done": "green",
    "failed": "red",
    **dict.fromkeys(("waiting", "paused", "budget", "cancelled"), "yellow"),
}


def list_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], whole: Any, as_json: bool, nothing: str) -> None:
    """Print rows as a table, or `whole` as JSON. Without any, say so."""
    print_rows(
        rows,
        names,
        as_json=whole if as_json else None,
        nothing=nothing,
        shrinking=("error", "last run"),
        keeping_end=["file"],
        colours=_COLOURS,
    )


def print_preview(seen: Preview) -> None:
    """Print what a run would do."""
    about = {"rows": f"{seen.rows:,}", "action": seen.action, "archive": seen.archive}
    if seen.estimated_seconds is not None:
        about["estimated"] = f"{seen.estimated_seconds:,.1f} s, from {seen.estimated_from}"
    print_facts(about, False)
    for step in seen.steps:
        typer.echo(f"\n{step.path}: {step.rows:,} rows")
        found = [f"{one.table}: {one.rows:,} rows" for one in step.partitions or ()]
        for line in (*found, *step.sql, *step.notes):
            typer.echo(f"  {line}")
    for warning in seen.warnings:
        typer.echo(f"\nwarning: {warning}")
    if seen.sample:
        typer.echo("\nthe first rows:")
        cells = [[shown_cell(value) for value in row] for row in seen.sample]
        print_table([Column(name=name, shortest=6) for name in seen.columns], cells)
    if seen.becomes:
        typer.echo("\nwhat becomes of them:")
        cells = [[shown_cell(value) for value in row] for row in zip(*seen.becomes.values(), strict=True)]
        print_table([Column(name=name, shortest=6) for name in seen.becomes], cells)


def in_short(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of a run, for people."""
    rows = [f"{table} {count:,}" for table, count in outcome["rows"].items()]
    files = [file["path"] for file in outcome["files"]]
    told = {name: outcome[name] for name in ("job", "state", "reason", "chunks", "repeated_chunks", "seconds")}
    return {**told, "rows": rows, "files": files, "hints": outcome["hints"]}


def of_last_run(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a policy's last run ended, for a row of the list."""
    last = policy["last_run"]
    if policy["unavailable"]:
        return {"last run": policy["unavailable"], "ended": None}
    return {"last run": last and last["state"], "ended": last and last["ended_at"]}


def print_policy(found: dict[str, Any]) -> None:
    """Print a policy: its state, its last run, and its definition as its file has it."""
    import yaml

    last: Mapping[str, Any] = found.pop("last_run") or {}
    definition = found.pop("definition")
    print_facts({**found, **{f"last run: {name}": value for name, value in last.items()}}, False)
    typer.echo(f"\n{yaml.safe_dump(definition, sort_keys=False)}", nl=False)
