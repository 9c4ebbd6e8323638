"""Settings that name several values."""

import pytest

from celeriac.core.pairs import parse_pairs


def test_pairs_are_separated_by_spaces_and_a_value_may_have_an_equals_sign() -> None:
    assert parse_pairs("shop=sqlite:///a.db  other=x://h/d?a=b", "name=url") == {
        "shop": "sqlite:///a.db",
        "other": "x://h/d?a=b",
    }


def test_an_object_in_json_is_read_as_it_is() -> None:
    assert parse_pairs('{"shop": "sqlite:///my shop.db"}', "name=url") == {"shop": "sqlite:///my shop.db"}


@pytest.mark.parametrize("text", ["geheim", "=geheim", "a=geheim a=geheim", "a b=geheim", "{geheim"])
def test_what_cannot_be_read_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="expected `name=url` separated by spaces") as caught:
        parse_pairs(text, "name=url")
    assert "geheim" not in str(caught.value)
