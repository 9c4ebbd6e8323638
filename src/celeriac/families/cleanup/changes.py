"""The new values of rows that stay: for `anonymise` and `update`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from celeriac.families.cleanup.errors import PolicyInvalid
from celeriac.families.cleanup.patterns import filled, hashed
from celeriac.families.cleanup.policy import Hashed, Pattern, Policy
from celeriac.families.cleanup.statements import Key, Parameters, Row, Statements
from celeriac.secret import read_secret

Make = Callable[[Any, Sequence[Any]], Any]


class Renewal:
    """Computes the new values of rows."""

    def __init__(self, policy: Policy, statements: Statements, secrets: Mapping[str, bytes]) -> None:
        """
        Args:
            policy: has the changes.
            statements: of the policy's table.
            secrets: for hashes, by where they are.
        """
        self._statements = statements
        self._columns = tuple(policy.columns)
        self._makes = [self._make(name, change, secrets) for name, change in policy.columns.items()]

    def _make(self, name: str, change: Any, secrets: Mapping[str, bytes]) -> Make:
        if isinstance(change, Hashed):
            secret, length = secrets[change.hash], self._statements.step.shape.column(name).length
            return lambda value, key: hashed(value, secret, length)
        if isinstance(change, Pattern):
            return lambda value, key: None if value is None else filled(change.pattern, key, name)
        return lambda value, key: change

    def __call__(self, rows: Sequence[Row]) -> list[Parameters]:
        """Return the parameters of updates. Rows that have their new values need none."""
        found: list[Parameters] = []
        for key, old, new in self.compared(rows):
            if any(one != other or (one is None) != (other is None) for one, other in zip(new, old, strict=True)):
                parameters = {f"celeriac_value_{at}": value for at, value in enumerate(new)}
                found.append(parameters | {f"celeriac_key_{at}": value for at, value in enumerate(key)})
        return found

    def compared(self, rows: Sequence[Row]) -> Iterator[tuple[Key, Sequence[Any], list[Any]]]:
        """Give the key of each row, the values of its columns, and what these become."""
        keys = self._statements.keys(rows)
        for key, old in zip(keys, self._statements.reading.pick(rows, self._columns), strict=True):
            yield key, old, [make(value, key) for make, value in zip(self._makes, old, strict=True)]


def read_secrets(policy: Policy) -> Mapping[str, bytes]:
    """Read the secrets of a policy's hashes, by their places.

    Raises:
        PolicyInvalid: one is not there.
    """
    found: dict[str, bytes] = {}
    for name, change in policy.columns.items():
        if isinstance(change, Hashed):
            try:
                secret = read_secret(change.hash)
            except ValueError as error:
                raise PolicyInvalid(f"columns.{name}: {error}") from None
            if not secret:
                raise PolicyInvalid(f"columns.{name}: {change.hash} is empty, or not set")
            found[change.hash] = secret.encode()
    return found
