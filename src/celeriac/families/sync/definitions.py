"""The syncs of an application: from YAML files, and from code. Each is checked when it is added."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celeriac.core.yaml_files import files_of, read_model, validated
from celeriac.families.sync.errors import SyncInvalid, UnknownSync
from celeriac.families.sync.model import Mode, Sync
from celeriac.families.sync.pages import Source

MakeSource = Callable[[Sync], Source]


@dataclass(frozen=True, slots=True)
class Definition:
    """A sync, with where it was defined and how its source is made."""

    sync: Sync
    where: str
    source: MakeSource | None = None
    file: Path | None = None


@dataclass(slots=True)
class Definitions:
    """All syncs of an application, by name. Files are read again when a run is asked for, and when it begins.

    `check` is called with each definition, and may refuse it.
    """

    check: Callable[[Definition], None] = lambda definition: None
    _named: dict[str, Definition] = field(default_factory=dict[str, Definition])
    unusable: list[SyncInvalid] = field(default_factory=list[SyncInvalid])
    """What is wrong with files of the folder. Other syncs can still be looked at."""

    def __iter__(self) -> Iterator[Definition]:
        return iter(sorted(self._named.values(), key=lambda one: one.sync.name))

    def get(self, name: str) -> Definition:
        """Return the sync of that name.

        Raises:
            UnknownSync: there is none.
        """
        found = self._named.get(name)
        if found is None:
            known = ", ".join(sorted(self._named)) or "there are none"
            unusable = "".join(f"; {error}" for error in self.unusable)
            raise UnknownSync(f"no sync is named {name[:100]!r}; those of this application: {known}{unusable}")
        return found

    async def fresh(self, name: str) -> Definition:
        """Return the sync of that name as its file has it now. Those of code stay as they are.

        Raises:
            UnknownSync: there is none.
            SyncInvalid: the file is gone, or wrong, or another sync has the table.
        """
        known = self.get(name)
        if known.file is not None:
            found = await asyncio.to_thread(read_file, known.file)
            if found.sync.name != name:
                raise SyncInvalid(f"{known.file}: it defined the sync {name!r} before, and now {found.sync.name!r}")
            self._check(found, [one for one in self._named.values() if one.sync.name != name])
            self._named[name] = found
        return self.get(name)

    def add_folder(self, folder: Path, add: Callable[[Definition], None]) -> None:
        """Call `add` with the definition of each file in a folder, but for those that are `unusable`."""
        for file in files_of(folder):
            try:
                add(read_file(file))
            except SyncInvalid as error:
                self.unusable.append(error)

    def add(self, definition: Definition) -> None:
        """
        Raises:
            SyncInvalid: another one has the name, or the table, or it cannot be used here.
        """
        self._check(definition, list(self._named.values()))
        self._named[definition.sync.name] = definition

    def _check(self, definition: Definition, others: Sequence[Definition]) -> None:
        self.check(definition)
        name = definition.sync.name
        for other in others:
            for one, another in ((definition.sync, other.sync), (other.sync, definition.sync)):
                if shared := one.tables(Mode.FULL_REFRESH) & another.tables():
                    raise SyncInvalid(
                        f"{definition.where}: streams: the sync {one.name!r} refreshes the table "
                        f"{min(shared)[-1]!r} of this connection, and {another.name!r} writes it: one would delete the "
                        "rows of the other; give one of them another table"
                    )
            if other.sync.name.casefold() == name.casefold():  # MySQL takes them for one
                raise SyncInvalid(
                    f"{definition.where}: name: {other.where} defines the sync {other.sync.name!r} already"
                )


def read_definition(given: Any, where: str) -> Sync:
    """Check a definition.

    Raises:
        SyncInvalid: names each wrong field.
    """
    try:
        return validated(Sync, given, "a sync")
    except ValueError as error:
        raise SyncInvalid(f"{where}: {error}") from None


def read_file(file: Path) -> Definition:
    """Read the definition of a file.

    Raises:
        SyncInvalid: it cannot be read, or is wrong.
    """
    try:
        return Definition(read_model(file, Sync, "a sync"), file.name, file=file)
    except ValueError as error:
        raise SyncInvalid(f"{file}: {error}") from None
