"""The syncs of an application: from YAML files, and from code. Each is checked when it is added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from celeriac.families.sync.errors import SyncInvalid, UnknownSync
from celeriac.families.sync.model import Mode, Sync
from celeriac.families.sync.pages import Source

MakeSource = Callable[[Sync], Source]

_LARGEST_FILE = 1_048_576


@dataclass(frozen=True, slots=True)
class Definition:
    """A sync, with where it was defined and how its source is made."""

    sync: Sync
    where: str
    source: MakeSource | None = None


@dataclass(slots=True)
class Definitions:
    """All syncs of an application, by name."""

    _named: dict[str, Definition] = field(default_factory=dict[str, Definition])

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
            raise UnknownSync(f"no sync is named {name[:100]!r}; those of this application: {known}")
        return found

    def add(self, definition: Definition) -> None:
        """
        Raises:
            SyncInvalid: another one has the name, or the table.
        """
        name = definition.sync.name
        for other in self._named.values():
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
        self._named[name] = definition


def read_definition(given: Any, where: str) -> Sync:
    """Check a definition.

    Raises:
        SyncInvalid: names each wrong field.
    """
    try:
        return Sync.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        # a list whose parts are wrong is said to be too short as well, which misleads
        wrong = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
        faults = [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in wrong]
        listed = "; ".join(_fault(fault) for fault in faults[:10])
        raise SyncInvalid(f"{where}: {listed}") from None


def _fault(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def read_folder(folder: Path) -> Iterator[Definition]:
    """Read the definitions of a folder.

    Raises:
        SyncInvalid: a file cannot be read, or is wrong.
    """
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        yield read_file(file)


def read_file(file: Path) -> Definition:
    """Read the definition of a file.

    Raises:
        SyncInvalid: it cannot be read, or is wrong.
    """
    return Definition(read_definition(_yaml(file), file.name), file.name)


def _yaml(file: Path) -> Any:
    import yaml  # only where there are files

    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_FILE + 1)
        if len(text) > _LARGEST_FILE:
            raise SyncInvalid(f"{file.name}: is larger than 1 MB, which no definition is")
        loaded = yaml.safe_load(text.decode())
    except OSError as error:
        raise SyncInvalid(f"{file.name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SyncInvalid(f"{file.name}: is not UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place is not None else ""
        raise SyncInvalid(f"{file.name}{line}: is not YAML: {getattr(error, 'problem', None) or error}") from None
    return loaded
