import celeriac


def test_every_public_name_is_there() -> None:
    missing = [name for name in celeriac.__all__ if getattr(celeriac, name, None) is None]
    assert missing == []
    assert set(celeriac.__all__) <= set(dir(celeriac))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(celeriac, "no_such_name")
