"""What holds for the errors of each job family."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Sequence
from types import ModuleType

from celeriac.core.errors import CeleriacError


def assert_survives_pickling(error: CeleriacError) -> None:
    """It goes from a worker's process to others, with its message and what it carries."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error) != ""
    assert vars(again) == vars(error)


def assert_tree_is_whole(module: ModuleType, examples: Sequence[CeleriacError]) -> None:
    """Each error of the module has an example here, a docstring, and a place in the tree of the module's docstring."""
    own = {kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__}
    assert own == {type(error) for error in examples}
    assert all(kind.__name__ in (module.__doc__ or "") and kind.__doc__ for kind in own)
