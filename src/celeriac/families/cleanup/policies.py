"""The policies of an application: from files, and from its own code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from celeriac.core.yaml_files import files_of, read_model
from celeriac.families.cleanup.errors import PolicyInvalid, UnknownPolicy
from celeriac.families.cleanup.policy import Policy


class Policies:
    """All policies, by name. Those of files are read again when a run of them is asked for, and when it begins."""

    def __init__(
        self,
        on_added: Callable[[Policy], None] = lambda policy: None,
        check: Callable[[Policy], None] = lambda policy: None,
    ) -> None:
        """`check` is called with each policy that was read, and may refuse it; `on_added` once, when it is new."""
        self._named: dict[str, Policy] = {}
        self._files: dict[str, Path] = {}
        self.unusable: list[PolicyInvalid] = []
        """What is wrong with files of the folder. Others can still be paused and looked at."""
        self._on_added = on_added
        self._check = check

    def __iter__(self) -> Iterator[Policy]:
        return iter(sorted(self._named.values(), key=lambda policy: policy.name))

    def get(self, name: str) -> Policy:
        """Return the policy of that name.

        Raises:
            UnknownPolicy: there is none.
        """
        if name not in self._named:
            known = ", ".join(sorted(self._named)) or "there are none"
            unusable = "".join(f"; {error}" for error in self.unusable)
            raise UnknownPolicy(f"no policy of cleanup is named {name[:100]!r}: {known}{unusable}")
        return self._named[name]

    async def fresh(self, name: str) -> Policy:
        """Return the policy of that name as its file has it now. Policies of code stay as they are.

        Raises:
            UnknownPolicy: there is none.
            PolicyInvalid: the file is gone, or wrong.
        """
        file = self._files.get(name)
        if file is not None:
            policy = await asyncio.to_thread(_read, file)
            if policy.name != name:
                raise PolicyInvalid(f"{file}: it defined the policy {name!r} before, and now {policy.name!r}")
            self._check(policy)
            self._named[name] = policy
        return self.get(name)

    def add(self, policy: Policy) -> None:
        """
        Raises:
            PolicyInvalid: another one has its name, or it cannot be used here.
        """
        if policy.name in self._named:
            raise PolicyInvalid(f"two policies of cleanup are named {policy.name!r}")
        self._check(policy)
        self._on_added(policy)
        self._named[policy.name] = policy

    def add_folder(self, folder: Path) -> None:
        """Add the policies of all files in a folder, but for those that are `unusable`."""
        for file in files_of(folder):
            try:
                policy = read_policy(file)
                self.add(policy)
            except PolicyInvalid as error:
                self.unusable.append(PolicyInvalid(f"{file}: {error}"))
            else:
                self._files[policy.name] = file

    def check_complete(self) -> None:
        """
        Raises:
            PolicyInvalid: a file cannot be used. The message names it, and the field.
        """
        if self.unusable:
            raise self.unusable[0]


def read_policy(file: Path) -> Policy:
    """Read the policy of a YAML file. Its name is that of the file, unless it has one.

    Raises:
        PolicyInvalid: the message names each wrong field.
    """
    try:
        return read_model(file, Policy, "a policy")
    except ValueError as error:
        raise PolicyInvalid(str(error)) from None


def _read(file: Path) -> Policy:
    """
    Raises:
        PolicyInvalid: the message names the file as well.
    """
    try:
        return read_policy(file)
    except PolicyInvalid as error:
        raise PolicyInvalid(f"{file}: {error}") from None
