"""Files of YAML that define one thing each, such as a sync: read, and checked by a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from celeriac.core.fault_words import told
from celeriac.core.yaml_tree import check_tree

Model = TypeVar("Model", bound=BaseModel)

_LARGEST = 1_000_000


def files_of(folder: Path) -> list[Path]:
    """Return the YAML files of a folder, by name."""
    return sorted(file for ending in ("yaml", "yml") for file in folder.glob(f"*.{ending}") if file.is_file())


def read_model(file: Path, model: type[Model], what: str) -> Model:
    """Read what a file defines. Its name is that of the file, unless it has one.

    Args:
        file: of YAML.
        model: of what it defines, with a field `name`.
        what: what it defines, for messages: `a sync`.

    Raises:
        ValueError: the message names the line, or each wrong field.
    """
    given = _load(file)
    if not isinstance(given, dict):
        wanted = [f"`{name}`" for name, one in model.model_fields.items() if one.is_required() and name != "name"]
        found = "is empty" if given is None else "is something else"
        raise ValueError(f"{found}: expected the fields of {what}, which are {', '.join(wanted)} and others")
    return validated(model, {"name": file.stem, **given}, what)


def validated(model: type[Model], given: Any, what: str) -> Model:
    """Check what was given against a model. Values are not shown: some are secrets.

    Raises:
        ValueError: the message names each wrong field.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise ValueError(told(model, given, error, what)) from None


def _load(file: Path) -> Any:
    import yaml  # only where there are files

    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"is larger than {_LARGEST:,} bytes, which no definition is")
        text = content.decode()
        loader = cast("Any", yaml).SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        check_tree(loader, root, text)
        return loader.construct_document(root)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise ValueError(f"{line}is not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is not YAML: {' '.join(str(error).split())}") from None
