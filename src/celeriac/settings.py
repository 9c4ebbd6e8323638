"""Reads the settings from the environment, and documents every variable.

Composition roots (`worker.py`, `asgi.py`, the command line) call `load_settings()` once, and pass the object on. No
other module touches `os.environ`.
"""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from celeriac.core.errors import CeleriacError, ConfigurationError
from celeriac.core.faults import message

S = TypeVar("S", bound="FamilySettings")

_BROKER_SCHEMES = ("redis", "rediss", "redis+socket")
_STORAGE_SCHEMES = ("file", "s3", "gs", "az", "abfs", "abfss")
_PREFIX = "CELERIAC_"

#: The built-in application.
DEFAULT_APP = "celeriac.worker:c_app"

#: Celery's default broker, for when no broker is configured and no embedded one runs.
DEFAULT_BROKER_URL = "redis://127.0.0.1:6379/0"


class FamilySettings(BaseModel):
    """The settings of a job family, which is a subclass. The environment has them as `CELERIAC_<NAME>`.

    Arguments of the constructor win over the environment. Upper and lower case do not matter in names of variables.
    An empty variable counts as unset. A field that is neither text nor number needs a validator that takes text
    (`mode="before"`).
    """

    model_config = ConfigDict(extra="ignore", frozen=True, validate_default=True, hide_input_in_errors=True)

    def __init__(self, **given: Any) -> None:
        """
        Raises:
            ConfigurationError: a variable of the environment is wrong; the message names it.
            ValidationError: an argument is wrong.
        """
        try:
            super().__init__(**{**_read_environment(type(self)), **given})
        except ValidationError as error:
            if all(not fault["loc"] or fault["loc"][0] in given for fault in error.errors()):
                raise
            raise _wrong(type(self), error) from None


class Settings(FamilySettings):
    """All settings but those of job families. The environment has them as `CELERIAC_<NAME>`."""

    app: str = DEFAULT_APP
    """The application that `celeriac up`, `api`, `worker`, `beat` and `flower` serve, `module:attribute`."""
    broker_url: SecretStr | None = None
    """Redis or Valkey to use, `redis://[:password@]host:port/db`. Unset: the embedded Valkey of `data_dir`."""
    result_url: SecretStr | None = None
    """URL of the result store. Unset: the broker, which then stores a result and acknowledges in one step."""
    database_url: SecretStr | None = None
    """SQLAlchemy URL, `postgresql+asyncpg://…`. Unset: an SQLite file in `data_dir`."""
    families_off: tuple[str, ...] = ()
    """Job families to switch off, separated by commas. `celeriac families` lists all families."""
    data_dir: Path = Path(".celeriac")
    """Directory of all local files: those of the embedded Valkey, and the SQLite database."""
    host: str = "127.0.0.1"
    """Address on which the API and Flower listen. Any but a loopback address needs `api_keys`."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port of the API; 0 picks a free one."""
    flower_port: int = Field(default=5555, ge=0, le=65535)
    """Port of Flower; 0 picks a free one."""
    flower_auth: SecretStr | None = None
    """`user:password` for Flower. Unset: each API key's name and secret, unless `host` is a loopback address."""
    api_keys: tuple[SecretStr, ...] = ()
    """Accepted API keys, `name:secret` separated by commas. Clients send `Authorization: Bearer secret`."""
    worker_shards: int | None = Field(default=None, ge=1, le=1000)
    """Processes (shards) of a worker. Unset: one for each core in `celeriac worker`. One in `celeriac up`, and with
    `--pool=prefork`, which starts its own processes."""
    worker_concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Jobs that each process of a worker runs at a time. Unset: 1,000 with the asyncio pool, else one for each core."""
    lease: float = Field(default=15.0, ge=2, le=3600)
    """Seconds after which other workers run the jobs of a worker that has vanished."""
    retention: float = Field(default=7 * 86400.0, ge=60, allow_inf_nan=False)
    """Seconds for which the record, result and events of a finished job are kept."""
    broker_timeout: float = Field(default=1.5, gt=0, le=60)
    """Seconds that the API waits for the broker before it answers 503."""
    request_timeout: float = Field(default=30.0, gt=0, le=3600)
    """Seconds that a client may take to send the head of a request, or the next part of its body."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    """Largest JSON body that the API accepts, in bytes."""
    max_upload_bytes: int = Field(default=64 * 1_048_576, ge=1024)
    """Largest file in a request to a job family, in bytes: recipients as CSV, for example. At `/uploads`,
    `max_file_bytes` is the limit."""
    storage_url: SecretStr | None = None
    """Where artifacts and uploads are kept: `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`. Unset: a
    folder in `data_dir`. A bucket's credentials come from its provider's variables, for example `AWS_ACCESS_KEY_ID`."""
    storage_reserve_bytes: int = Field(default=1_073_741_824, ge=0)
    """Bytes to keep free on the disk of that folder. A job that would use them fails."""
    max_file_bytes: int = Field(default=10 * 1_073_741_824, ge=1024)
    """Largest artifact, and largest file at `/uploads`, in a form or in parts. In bytes."""
    max_job_artifacts: int = Field(default=1000, ge=1)
    """Most artifacts that one job may keep."""
    max_job_artifact_bytes: int = Field(default=20 * 1_073_741_824, ge=1024)
    """Total size of the artifacts of one job, in bytes."""
    max_uploads: int = Field(default=1000, ge=1)
    """Most uploads that one API key may keep."""
    upload_quota_bytes: int = Field(default=20 * 1_073_741_824, ge=1024)
    """Total size of the uploads of one API key, in bytes."""
    min_upload_rate: int = Field(default=1000, ge=0)
    """Bytes a second that a request to `/uploads` must bring, on average over each `request_timeout`. What a slower one
    has brought is kept, and the answer is 408."""
    upload_retention: float = Field(default=86400.0, ge=60, allow_inf_nan=False)
    """Seconds for which an upload is kept, complete or not."""
    artifact_retention: float | None = Field(default=None, ge=60, allow_inf_nan=False)
    """Seconds for which artifacts are kept. Unset: `retention`, as long as the record of their job."""
    traceback: bool = False
    """Whether to show the traceback of an application that cannot be imported. `celeriac --traceback` sets it."""

    @field_validator("api_keys", "families_off", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("api_keys")
    @classmethod
    def _named_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            name, _, secret = key.get_secret_value().partition(":")
            if not name or len(secret) < 16:
                raise ValueError("each key is `name:secret` with a secret of at least 16 characters")
        names = [key.get_secret_value().partition(":")[0] for key in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each key needs its own name; used twice: {', '.join(twice)}")
        return value

    @field_validator("flower_auth")
    @classmethod
    def _flower_pair(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(value.get_secret_value().partition(":")):
            raise ValueError("expected `user:password`")
        return value

    @field_validator("broker_url", "result_url")
    @classmethod
    def _redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_redis_url(value.get_secret_value())
        return value

    @field_validator("storage_url")
    @classmethod
    def _storage_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_storage_url(value.get_secret_value())
        return value

    @property
    def embedded_address_file(self) -> Path:
        """The file with the address of a running embedded broker. Only its owner can read it."""
        return self.data_dir / "broker.json"

    def broker(self) -> str:
        """Return the broker's URL: the configured one, else the running embedded one's, else Celery's default."""
        if self.broker_url is not None:
            return self.broker_url.get_secret_value()
        try:
            return str(json.loads(self.embedded_address_file.read_text())["url"])
        except (OSError, ValueError, KeyError, TypeError):
            return DEFAULT_BROKER_URL

    def results(self) -> str:
        """Return the result store's URL: `result_url`, or else the broker's."""
        return self.result_url.get_secret_value() if self.result_url is not None else self.broker()

    def database(self) -> str:
        """Return the database's SQLAlchemy URL: `database_url`, or else an SQLite file in `data_dir`."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'celeriac.db'}"

    def storage(self) -> str:
        """The URL of the storage of files; a folder in `data_dir` unless `storage_url` is set."""
        if self.storage_url is not None:
            return self.storage_url.get_secret_value()
        return (self.data_dir.resolve() / "storage").as_uri()

    def named_api_keys(self) -> dict[str, str]:
        """Return the API keys as a mapping of name to secret."""
        return dict(key.get_secret_value().split(":", 1) for key in self.api_keys)

    def check_exposure(self) -> None:
        """Refuse to listen off loopback without API keys.

        Raises:
            ConfigurationError: `host` is not a loopback address and `api_keys` is empty.
        """
        if not is_loopback(self.host) and not self.api_keys:
            raise ConfigurationError(
                f"CELERIAC_HOST={self.host} is reachable from other machines and CELERIAC_API_KEYS is empty; "
                "set CELERIAC_API_KEYS=name:secret (secret of 16 characters or more), or listen on 127.0.0.1"
            )


def check_storage_url(url: str) -> None:
    """Refuse what is no place that all processes share.

    Raises:
        ValueError: it says what is expected.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        raise ValueError("each process has a memory of its own; expected a folder, file:///folder, or a bucket")
    if scheme not in _STORAGE_SCHEMES:
        raise ValueError("expected file:///folder, s3://bucket, gs://bucket or az://container")


def is_broker_url(url: str) -> bool:
    """Return whether `url` is a Redis or Valkey URL, which the engine needs."""
    return urlsplit(url).scheme in _BROKER_SCHEMES


def _check_redis_url(url: str) -> None:
    parts = urlsplit(url)
    if not is_broker_url(url):
        raise ValueError(f"expected a URL that starts with one of {', '.join(_BROKER_SCHEMES)}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port must be a number from 0 to 65535") from None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host` (a name or an address)."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def load_settings(**overrides: Any) -> Settings:
    """Read and validate the settings. `overrides`, such as those of the command line, win over the environment.

    Raises:
        ConfigurationError: the message names each wrong option, its value (masking secrets) and what is expected.
    """
    return read(Settings, **overrides)


def read(kind: type[S], **overrides: Any) -> S:
    """Read and validate the settings of class `kind`, such as a job family's. Raises as `load_settings` does."""
    try:
        return kind(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise _wrong(kind, error) from None


def _read_environment(kind: type[FamilySettings]) -> dict[str, str]:
    """Return the variables that are set for fields of `kind`, by field."""
    found = {name.upper(): value for name, value in os.environ.items() if value}
    names = {field: f"{_PREFIX}{field.upper()}" for field in kind.model_fields}
    return {field: found[name] for field, name in names.items() if name in found}


def unknown_variables(*others: type[FamilySettings]) -> dict[str, str]:
    """Return variables that look like settings but are unknown, each with the most similar known one, or ''.

    `others` are the settings classes of job families.
    """
    known = [f"{_PREFIX}{name.upper()}" for kind in (Settings, *others) for name in kind.model_fields]
    set_here = sorted(name for name in os.environ if name.upper().startswith(_PREFIX) and name.upper() not in known)
    if not set_here:
        return {}
    from difflib import get_close_matches  # where all is well, nothing needs it

    return {name: next(iter(get_close_matches(name.upper(), known, n=1)), "") for name in set_here}


def as_environment(settings: Settings) -> dict[str, str]:
    """Return variables from which `load_settings` makes the same settings in any directory.

    They pass settings to child processes. Other users can read a command line, but not the environment.
    """
    complete = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    return {f"{_PREFIX}{name.upper()}": _as_text(value) for name, value in complete if value is not None}


def _as_text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(_as_text, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)


def environment_with(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a child process: this process's own, changed by `variables`."""
    return {**os.environ, **variables}


def export(**values: Any) -> None:
    """Set the variables of settings for modules that this process imports later, such as an application."""
    set_variables({f"{_PREFIX}{name.upper()}": _as_text(value) for name, value in values.items()})


def variable(name: str) -> str:
    """Return a variable that a setting names in place of a secret; empty if it is not set."""
    return os.environ.get(name, "")


def set_variables(variables: Mapping[str, str]) -> None:
    """Set variables of this process's environment."""
    os.environ.update(variables)


@contextmanager
def variables_set(variables: Mapping[str, str]) -> Generator[None]:
    """Set variables of this process's environment inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    set_variables(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def wants_colour() -> bool:
    """Return whether the user wants colours on a terminal (https://no-color.org)."""
    return not os.environ.get("NO_COLOR")


def show(error: CeleriacError) -> None:
    """Write an error to stderr in one line. If the user wants it, write the traceback of a failed import first."""
    traceback: str = getattr(error, "traceback", "")
    if traceback and _wants_tracebacks():
        sys.stderr.write(traceback)
    sys.stderr.write(f"celeriac: error: {' '.join(str(error).split())}\n")


def _wants_tracebacks() -> bool:
    try:
        return load_settings().traceback
    except ConfigurationError:
        return False


def _wrong(kind: type[FamilySettings], error: ValidationError) -> ConfigurationError:
    return ConfigurationError("; ".join(_fault(kind, fault) for fault in error.errors()))


def _fault(kind: type[FamilySettings], error: Any) -> str:
    if not error["loc"]:  # the fault lies in a combination; `input` has all settings, even secrets
        return f"settings: {message(error)}"
    name = str(error["loc"][0])
    field = kind.model_fields.get(name)
    shown = "***" if field is not None and "SecretStr" in str(field.annotation) else error["input"]
    return f"CELERIAC_{name.upper()}={shown}: {message(error)}"
