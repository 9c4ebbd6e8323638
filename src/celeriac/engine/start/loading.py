"""Loads the application of a process. If that fails, ends the process with one line that says why.

A process that a supervisor started sends the line to its parent, which shows it once for all its children. Any other
process writes to stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

import celery
import kombu
from celery import Celery, _state
from celery.app.utils import find_app

from celeriac.core.errors import ApplicationNotLoaded, CeleriacError, ConfigurationError
from celeriac.core.exits import exit_code
from celeriac.core.parent_protocol import Refused, encode
from celeriac.engine.configuration import ConfiguredApp
from celeriac.settings import DEFAULT_APP, show
from celeriac.store.declared import check_scripts

#: Packages whose frames a user need not see when an import fails.
_PACKAGES = (Path(__file__).parents[2], *(Path(str(module.__file__)).parent for module in (celery, kombu, importlib)))
_MACHINERY = ("<frozen ", *map(str, _PACKAGES))
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def load(address: str) -> Any:
    """Load the Celery application at `address`: `module:attribute`, or in another form that Celery accepts.

    Raises:
        ApplicationNotLoaded: there is no application at `address`, or its module cannot be imported.
    """
    option = f"CELERIAC_APP={address} (or --app)"
    if address == DEFAULT_APP:  # it can fail only over a setting, and the error names that
        return find_app(address)
    module = _module_of(option, address)
    try:
        found = find_app(address)
    except (AttributeError, ImportError):
        attribute = address.replace(":", ".").rpartition(".")[2]
        raise _has_no(option, module, attribute, lambda value: isinstance(value, Celery)) from None
    if not isinstance(found, Celery):
        raise ApplicationNotLoaded(f"{option}: is a {type(found).__name__} and no Celery application")
    return found


def load_with_tasks(address: str) -> Any:
    """Load the application at `address`, with the task modules that its settings name. Raises as `load` does.

    Raises:
        ConfigurationError: its result backend cannot be used, or something that it declares does not fit.
        InstallationBroken: the package's own files do not belong together.
    """
    app = load(address)
    check_scripts()
    with _imported(f"CELERIAC_APP={address} (or --app)"):
        app.loader.import_default_modules()
        app.finalize()
    _check_result_backend(app)
    check_complete(app)
    return app


def check_complete(app: Any) -> None:
    """Check what the application declares. One of Celery's own class has no checks. Raises `ConfigurationError`."""
    if isinstance(app, ConfiguredApp):
        app.check_complete()


def load_asgi(address: str) -> Callable[..., Any]:
    """Load the ASGI application, or the factory of one, at `address`: `module:attribute`.

    Raises:
        ApplicationNotLoaded: there is none at `address`, or its module cannot be imported.
        ConfigurationError: an application that was imported with it declares something that does not fit.
        InstallationBroken: the package's own files do not belong together.
    """
    check_scripts()
    option = f"--api {address}"
    if ":" not in address:
        raise ApplicationNotLoaded(f"{option}: give it as module:attribute")
    found: Any = _module_of(option, address)
    for name in address.partition(":")[2].split("."):
        if not hasattr(found, name):
            raise _has_no(option, found, name, _is_asgi)
        found = getattr(found, name)
    if not callable(found):
        raise ApplicationNotLoaded(f"{option}: is a {type(found).__name__} and no ASGI application, as a FastAPI is")
    for app in _state._get_active_apps():  # pyright: ignore[reportPrivateUsage]
        check_complete(app)
    return found


def leave(error: CeleriacError, report_to: int | None = None) -> NoReturn:
    """End this process over `error`. Write a line to the file descriptor `report_to`, or else to stderr."""
    if report_to is None:
        show(error)
    else:
        with contextlib.suppress(OSError):  # the parent has ended
            os.write(report_to, encode(Refused.because_of(error)))  # in one call, as a socket makes a packet of each
    sys.exit(exit_code(error))


def _check_result_backend(app: Any) -> None:
    """Make a result backend to try, and drop it, so that forked processes do not inherit it. It does not connect.

    Raises:
        ConfigurationError: there is no such backend, or it lacks a package. The message shows no URL, for its secrets.
    """
    try:
        app._get_backend()
    except Exception as error:  # whatever the backend's module raises
        name = str(app.conf.result_backend).partition("://")[0]
        raise ConfigurationError(
            f"result_backend (or CELERY_RESULT_BACKEND): {name!r} cannot be used: {type(error).__name__}: {error}"
        ) from error


def _module_of(option: str, address: str) -> ModuleType:
    """Import the module of an address first, so that an error inside it is not taken for a wrong address."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    name, colon, _ = address.partition(":")
    candidates = [name] if colon or "." not in name else [name, name.rpartition(".")[0]]
    for candidate in candidates:
        with _imported(option):
            try:
                module = importlib.import_module(candidate)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{candidate}.".startswith(f"{error.name}."):
                    raise  # the module exists, and imports another one that does not
                continue
            if not colon and candidate == name:
                _import_celerys_own(module)
            return module
    raise ApplicationNotLoaded(f"{option}: there is no module {candidates[-1]!r}, in {here} or on Python's path")


def _import_celerys_own(module: ModuleType) -> None:
    """Import `package.celery`. Celery looks there for the application of a package, and hides errors in it."""
    name = f"{module.__name__}.celery"
    if hasattr(module, "__path__") and not hasattr(module, "app") and importlib.util.find_spec(name):
        importlib.import_module(name)


@contextlib.contextmanager
def _imported(option: str) -> Generator[None]:
    """Turn whatever an import raises, also `SystemExit`, into one error."""
    try:
        yield
    except (KeyboardInterrupt, ApplicationNotLoaded):
        raise
    except BaseException as error:
        cause = str(error) if isinstance(error, CeleriacError) else f"{type(error).__name__}: {error}"
        place = _place(error.__traceback__)
        if place and not isinstance(error, SyntaxError):  # its text names the place already
            cause = f"{cause} ({place})"
        advice = "celeriac --traceback shows where"
        raise ApplicationNotLoaded(f"{option}: cannot be imported: {cause}; {advice}", _shown(error)) from None


def _place(trace: TracebackType | None) -> str:
    """Return the last line of the user's code in an error's traceback, or of a library's if there is none."""
    frames = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(_MACHINERY)]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)] or frames
    return f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


def _shown(error: BaseException) -> str:
    """Format the traceback without the frames of the import machinery."""
    shown = traceback.TracebackException.from_exception(error)
    waiting = [shown]
    while waiting:
        part = waiting.pop()
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(_MACHINERY)]
        waiting += [e for e in (part.__cause__, part.__context__, *(part.exceptions or ())) if e is not None]
    return "".join(shown.format())


def _is_asgi(value: Any) -> bool:
    """Return whether it looks like an application of FastAPI or Starlette, for advice in a message."""
    return callable(value) and hasattr(value, "routes") and not isinstance(value, type)


def _has_no(option: str, owner: Any, name: str, is_wanted: Callable[[Any], bool]) -> ApplicationNotLoaded:
    """Make the error for a missing attribute. It names attributes that may have been meant."""
    others = sorted(other for other, value in getattr(owner, "__dict__", {}).items() if is_wanted(value))
    advice = f"; it has {', '.join(map(repr, others))}" if others else ""
    shown = getattr(owner, "__name__", type(owner).__name__)
    return ApplicationNotLoaded(f"{option}: {shown!r} has no {name!r}{advice}")
