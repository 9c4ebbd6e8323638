"""Which tables may be cleaned, as the settings name them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from celeriac.families.cleanup import CleanupSettings


def test_tables_are_separated_by_spaces() -> None:
    settings = CleanupSettings.model_validate({"cleanup_tables": "shop.orders  shop.sales.items"})
    assert settings.cleanup_tables == ("shop.orders", "shop.sales.items")


def test_tables_whose_names_have_spaces_are_a_list_in_json() -> None:
    settings = CleanupSettings.model_validate({"cleanup_tables": ' ["shop.order items", "shop.orders"]'})
    assert settings.cleanup_tables == ("shop.order items", "shop.orders")


@pytest.mark.parametrize("wrong", ["orders", '["shop.orders"', '["orders"]', "[1]", "shop..orders"])
def test_what_is_no_table_is_named(wrong: str) -> None:
    with pytest.raises(ValidationError, match=r"connection\.table|list in JSON|valid string"):
        CleanupSettings.model_validate({"cleanup_tables": wrong})
