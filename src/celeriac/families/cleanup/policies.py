"""The policies of an application: from files, and from its own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from celeriac.families.cleanup.errors import PolicyInvalid, UnknownPolicy
from celeriac.families.cleanup.policy import Policy, why_invalid

_ENDINGS = (".yaml", ".yml")
#: A file of policies that is larger is something else.
_LARGEST = 1_000_000


class Policies:
    """All policies, by name."""

    def __init__(self, on_added: Callable[[Policy], None] = lambda policy: None) -> None:
        """`on_added` is called with each policy, and may refuse it."""
        self._named: dict[str, Policy] = {}
        self._on_added = on_added

    def __iter__(self) -> Iterator[Policy]:
        return iter(sorted(self._named.values(), key=lambda policy: policy.name))

    def get(self, name: str) -> Policy:
        """Return the policy of that name.

        Raises:
            UnknownPolicy: there is none.
        """
        if name not in self._named:
            known = ", ".join(sorted(self._named)) or "there are none"
            raise UnknownPolicy(f"no policy of cleanup is named {name[:100]!r}: {known}")
        return self._named[name]

    def add(self, policy: Policy) -> None:
        """
        Raises:
            PolicyInvalid: another one has its name, or it cannot be used here.
        """
        if policy.name in self._named:
            raise PolicyInvalid(f"two policies of cleanup are named {policy.name!r}")
        self._on_added(policy)
        self._named[policy.name] = policy

    def add_folder(self, folder: Path) -> None:
        """Add the policies of all files in a folder.

        Raises:
            PolicyInvalid: the message names the file and the field.
        """
        for path in sorted(folder.iterdir()):
            if path.suffix in _ENDINGS and path.is_file():
                try:
                    self.add(read_policy(path))
                except PolicyInvalid as error:
                    raise PolicyInvalid(f"{path}: {error}") from None


def read_policy(path: Path) -> Policy:
    """Read the policy of a YAML file. Its name is that of the file, unless it has one.

    Raises:
        PolicyInvalid: the message names the field.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise PolicyInvalid(f"it has more than {_LARGEST:,} bytes: is it a policy?")
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise PolicyInvalid(f"it is no YAML: {' '.join(str(error).split())}") from None
    except (OSError, UnicodeError, RecursionError) as error:
        raise PolicyInvalid(f"it cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise PolicyInvalid("expected the fields of a policy, such as `connection:` and `table:`")
    try:
        return Policy.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise PolicyInvalid(why_invalid(error)) from None
