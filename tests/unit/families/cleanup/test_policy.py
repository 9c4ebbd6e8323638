"""What a policy may say, and what it is told if it says something else."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from celeriac.core.durations import AS_WRITTEN
from celeriac.core.yaml_files import validated
from celeriac.families.cleanup.conditions import check_expression, for_sqlalchemy, names_of_parameters
from celeriac.families.cleanup.errors import PolicyInvalid, UnknownPolicy
from celeriac.families.cleanup.policies import Policies, read_policy
from celeriac.families.cleanup.policy import Age, Policy
from tests.support.cleanup_shop import policy

PLAIN = policy().model_dump(mode="json", exclude_unset=True)


def why(**changes: Any) -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        validated(Policy, {**PLAIN, **changes}, "the policy")
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 90 * 86_400), ("12 h", 43_200), ("2w", 1_209_600), ("30min", 1800), ("45s", 45)]
)
def test_ages_have_a_unit(text: str, seconds: int) -> None:
    assert Age.model_validate({"column": "at", "older_than": text}).older_than == timedelta(seconds=seconds)


@pytest.mark.parametrize(("text", "iso"), [("365d", "P1Y"), ("36h", "P1DT12H"), ("90min", "PT1H30M"), ("7s", "PT7S")])
def test_an_age_is_shown_to_people_as_they_write_it_and_to_programs_as_iso(text: str, iso: str) -> None:
    age = Age.model_validate({"column": "at", "older_than": text})
    assert age.model_dump(mode="json")["older_than"] == iso
    assert age.model_dump(mode="json", context=AS_WRITTEN)["older_than"] == text
    assert Age.model_validate(age.model_dump(mode="json")) == age


def test_a_secret_in_the_place_of_its_place_is_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        policy(action="anonymise", columns={"email": {"hash": "hunter2"}})
    assert "never the secret" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["90", 90, 90.5, True, None, "0d", "PT0S", "d", "-3d", "1.5d", "90 years", "", "٣d"])
def test_other_ages_are_refused_with_an_example(text: Any) -> None:
    told = why(where={"age": {"column": "created_at", "older_than": text}})
    assert re.search(r"where\.age\.older_than: .*expected a number with a unit: 90d", told)


def test_a_lifetime_is_the_longest_age() -> None:
    for text in ("99999w", "9" * 30 + "d", "9" * 5000 + "d"):
        assert "where.age.older_than: " in why(where={"age": {"column": "created_at", "older_than": text}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": {}}, "where: give `age`, `sql` or both"),
        ({"where": {"sql": "a = :b"}}, "where: `parameters` lacks b"),
        ({"where": {"sql": "a = 1", "parameters": {"b": 1}}}, "where: `sql` does not use the parameters b"),
        ({"where": {"sql": "a = :celeriac_b", "parameters": {"celeriac_b": 1}}}, "cannot be called celeriac_b"),
        ({"where": {"sql": "a = 1; DROP TABLE orders"}}, "where: ; may begin a second statement"),
        ({"action": "anonymise"}, "action anonymise: give `columns`"),
        ({"columns": {"note": None}}, "action delete: `columns` has no meaning"),
        ({"archive": "csv.gz"}, "`archive` needs `action: archive`"),
        ({"action": "update", "columns": {"note": {"pattern": "{key}"}}}, "hashes and patterns are for `anonymise`"),
        ({"action": "update", "columns": {"note": "x"}, "children": "auto"}, "`children` has no meaning"),
        ({"action": "anonymise", "columns": {"note": {"pattern": "{name}"}}}, "{name} is no placeholder: use {key}"),
        ({"action": "anonymise", "columns": {"note": {"hash": "hunter2"}}}, "columns.note"),
        ({"name": "Old Orders"}, "name: use lower-case letters"),
        ({"name": "../x"}, "name: use lower-case letters"),
        ({"chunk": {"rows": 0}}, "chunk.rows"),
        ({"schedule": {"cron": "99 * * * *"}}, "schedule.cron: '99 * * * *' is not `minute hour day month weekday`"),
        ({"schedule": {"cron": "0 3 * * *", "timezone": "X/Y"}}, "schedule.timezone: 'X/Y' is no time zone"),
        ({"children": "automatic"}, "children: must be 'auto' or a list, such as [a, b]"),
        ({"children": {"table": "a"}}, "children: must be 'auto' or a list, such as [a, b]"),
        ({"action": "archive", "archive": "zip"}, "must be 'csv.gz' or 'parquet' or have fields of its own: `table`"),
        ({"action": "update", "columns": {"note": [1]}}, "columns.note: must be a text (in quotes, if it looks like "),
        ({"where": {"sql": "a = :b", "parameters": {"b": {}}}}, "where.parameters.b: must be a text (in quotes, if "),
        ({"throttles": [{"kind": "lod"}]}, "throttles.0.kind: must be one of replica_lag, sql, load, flag"),
        ({"throttles": [{"kind": "load"}]}, "throttles.0.above: is missing"),
        ({"tabel": "orders"}, "tabel: is unknown: did you mean `table`?"),
    ],
)
def test_a_fault_is_named_with_its_field(changes: dict[str, Any], message: str) -> None:
    told = why(**changes)
    assert message in told
    assert not re.search(r"[Ii]nput|tuple|literal|dictionary|Extra|Field", told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"children": [{"tabel": "a"}]},
            "children.0.table: is missing; children.0.tabel: is unknown: did you mean `table`?",
        ),
        ({"action": "archive", "archive": {"table": 1}}, "archive.table: must be a text (in quotes, if it looks like "),
        (
            {"action": "anonymise", "columns": {"note": {"hash": "hunter2"}}},
            "columns.note.hash: give the place of the ",
        ),
        (
            {"action": "anonymise", "columns": {"note": {"patern": "x"}}},
            "columns.note.pattern: is missing; columns.note.",
        ),
        (
            {"where": {"sql": "a = :b", "parameters": {"b": [{}]}}},
            "where.parameters.b.0: must be a text (in quotes, if ",
        ),
    ],
)
def test_of_several_ways_to_write_something_only_that_which_was_meant_is_told(
    changes: dict[str, Any], told: str
) -> None:
    assert why(**changes).startswith(told)


def test_a_secret_that_stands_where_its_place_should_is_not_shown() -> None:
    assert "hunter2" not in why(action="anonymise", columns={"note": {"hash": "hunter2"}})


@pytest.mark.parametrize(
    "sql",
    [
        "a = 1 -- and nothing else",
        "a = 1 /* or */",
        "a = 1 # or",
        "a = 1) OR (1 = 1",
        "(a = 1",
        "a = 'it''s",
        'a = "b',
        "a = 'x\\' OR 1 = 1'",
        "a = $$x$$",
        "a = '\0'",
        "a = [1)",
        "  ",
    ],
)
def test_what_is_not_obviously_one_expression_is_refused(sql: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_expression(sql)


@pytest.mark.parametrize(
    "sql", ["a = 'x; -- (y'", "a = 'it''s' AND (b = ANY(ARRAY[1, 2]))", 'a = "b--c"', "a::date < :x"]
)
def test_marks_in_quotes_mean_nothing(sql: str) -> None:
    check_expression(sql)


def test_parameters_are_found_outside_of_quotes_and_casts() -> None:
    sql = "a = :one AND b = ':two' AND c::text = :three AND d > '12:30'"
    assert names_of_parameters(sql) == {"one", "three"}
    assert for_sqlalchemy(sql) == r"a = :one AND b = '\:two' AND c::text = :three AND d > '12\:30'"


def test_a_file_has_its_name_and_its_faults_with_field_and_path(tmp_path: Path) -> None:
    good = "connection: shop\ntable: orders\nwhere: {age: {column: created_at, older_than: 90d}}\naction: delete\n"
    (tmp_path / "old-orders.yaml").write_text(good)
    policies = Policies()
    policies.add_folder(tmp_path)
    assert [one.name for one in policies] == ["old-orders"]
    assert policies.get("old-orders").where.age is not None
    with pytest.raises(UnknownPolicy, match=r"'older'.*old-orders"):
        policies.get("older")
    with pytest.raises(PolicyInvalid, match="two policies"):
        policies.add(policies.get("old-orders"))

    (tmp_path / "bad.yaml").write_text(good.replace("90d", "soon"))
    policies = Policies()
    policies.add_folder(tmp_path)
    told = r"bad\.yaml: where\.age\.older_than: expected a number with a unit"
    with pytest.raises(PolicyInvalid, match=told):
        policies.check_complete()
    assert policies.get("old-orders").name == "old-orders", "others can still be paused"
    with pytest.raises(UnknownPolicy, match=told):
        policies.get("bad")


def test_a_file_that_is_no_policy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("- a list")
    with pytest.raises(PolicyInvalid, match="expected the fields of a policy, which are `connection`"):
        read_policy(path)


def test_a_policy_comes_back_from_json() -> None:
    chosen = policy(action="archive", archive={"table": "orders_old"})
    assert Policy.model_validate_json(chosen.model_dump_json(exclude_unset=True)) == chosen
