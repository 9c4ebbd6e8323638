from __future__ import annotations

import pytest

import celeriac.families.sync as package
from celeriac.core.lazy_names import lazy_names


def test_names_come_from_the_modules_below_the_package() -> None:
    find = lazy_names(package.__name__, {"http.model": ("Rate",)})
    assert find("Rate") is vars(package)["Rate"] is package.Rate


def test_a_name_that_a_package_lacks_is_told_as_python_tells_it() -> None:
    with pytest.raises(AttributeError, match=r"^module 'celeriac\.families\.sync' has no attribute 'nothing'$"):
        lazy_names(package.__name__, {"http.model": ("Rate",)})("nothing")
