"""The policies of an application: from files, and from its own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from celeriac.core.yaml_files import files_of, read_model
from celeriac.families.cleanup.errors import PolicyInvalid, UnknownPolicy
from celeriac.families.cleanup.policy import Policy


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
        for file in files_of(folder):
            try:
                self.add(read_policy(file))
            except PolicyInvalid as error:
                raise PolicyInvalid(f"{file}: {error}") from None


def read_policy(file: Path) -> Policy:
    """Read the policy of a YAML file. Its name is that of the file, unless it has one.

    Raises:
        PolicyInvalid: the message names each wrong field.
    """
    try:
        return read_model(file, Policy, "a policy")
    except ValueError as error:
        raise PolicyInvalid(str(error)) from None
