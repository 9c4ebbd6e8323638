"""Names and kinds of columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.families.sync.converting import Holder, TooNarrow, widest
from celeriac.families.sync.kinds import Kind, Unstorable, holds, inferred, kind_of, wider
from celeriac.families.sync.names import DELETED_AT, column_name


@given(st.lists(st.text(max_size=100), unique=True, max_size=30))
def test_each_field_gets_a_name_of_its_own_that_all_databases_take(fields: list[str]) -> None:
    names: list[str] = []
    for field in fields:
        names.append(column_name(field, names))
    assert len({name.casefold() for name in names}) == len(fields)
    for name in names:
        assert 0 < len(name.encode()) <= 63
        assert name.isprintable()
        assert name == name.strip()


def test_plain_names_stay_and_that_of_soft_deletes_is_taken() -> None:
    assert column_name("order total") == "order total"
    assert column_name("Name", ["name"]).startswith("Name_")
    assert column_name(DELETED_AT) != DELETED_AT
    assert column_name("x" * 100) == column_name("x" * 100) != column_name("x" * 101)


VALUES: dict[Kind, list[Any]] = {
    Kind.BOOLEAN: [True, False],
    Kind.INTEGER: [0, 2**63 - 1, -(2**63)],
    Kind.NUMERIC: [2**63, Decimal("1.10")],
    Kind.DOUBLE: [0.1, 1e300],
    Kind.TEXT: ["", "x"],
    Kind.JSON: [{}, [1]],
}


def test_each_value_asks_for_its_kind() -> None:
    assert {kind: {kind_of(value) for value in values} for kind, values in VALUES.items()} == {
        kind: {kind} for kind in VALUES
    }
    for value in (float("inf"), Decimal("NaN"), object(), b"x"):
        with pytest.raises(Unstorable):
            kind_of(value)


@pytest.mark.parametrize("one", VALUES)
@pytest.mark.parametrize("other", VALUES)
def test_a_wider_kind_holds_the_values_of_both(one: Kind, other: Kind) -> None:
    both = wider(one, other)
    for value in (*VALUES[one], *VALUES[other]):
        asked = kind_of(value)
        assert holds(both, asked, value) or (both is Kind.DOUBLE and asked is Kind.INTEGER)
    assert inferred([VALUES[one][0], None, VALUES[other][0]]) is not None


def test_a_column_takes_what_it_holds_and_asks_for_more_where_it_does_not() -> None:
    assert Holder(Kind.INTEGER, "sqlite").convert([1, None, 2]) == ([1, None, 2], {})
    assert Holder(Kind.NUMERIC, "postgresql").convert([1, 2.5]) == ([Decimal(1), Decimal("2.5")], {})
    assert Holder(Kind.NUMERIC, "sqlite").convert([2**70, Decimal("0.1"), 2.5]) == ([str(2**70), 0.1, 2.5], {})
    assert Holder(Kind.TEXT, "sqlite").convert([1, True, None, {"a": 1.5}]) == (["1", "true", None, '{"a":1.5}'], {})
    for holder, value, kind in (
        (Holder(Kind.INTEGER, "sqlite"), 2**63, Kind.NUMERIC),
        (Holder(Kind.INTEGER, "postgresql", 100), 101, Kind.INTEGER),
        (Holder(Kind.TEXT, "postgresql", 3), "four", Kind.TEXT),
        (Holder(Kind.DOUBLE, "sqlite"), 2**53 + 1, Kind.NUMERIC),
        (Holder(Kind.NUMERIC, "mysql", widest(Kind.NUMERIC, "mysql")), 10**35, Kind.TEXT),
        (Holder(Kind.NUMERIC, "mysql", (8, 2)), 0.125, Kind.NUMERIC),
    ):
        with pytest.raises(TooNarrow) as narrow:
            holder.convert([value])
        assert narrow.value.kind is kind


def test_a_fixed_column_names_what_does_not_fit() -> None:
    found, faults = Holder(Kind.INTEGER, "sqlite", is_fixed=True).convert([1, "x", 2.0, 2.5, None])
    assert list(found) == [1, None, 2, None, None]
    assert faults == {1: "'x' does not fit its type, integer", 3: "2.5 does not fit its type, integer"}


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": b"x"}, {"a": {1, 2}}])
def test_json_that_json_cannot_write_is_refused(value: Any) -> None:
    _, faults = Holder(Kind.JSON, "sqlite").convert([value])
    assert list(faults) == [0]


def test_integers_inside_json_keep_their_digits() -> None:
    assert Holder(Kind.JSON, "sqlite").convert([{"a": 2**70}]) == (['{"a":%d}' % 2**70], {})  # noqa: UP031
