"""The new values of rows that stay: for `anonymise` and `update`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celeriac.families.cleanup.patterns import filled, hashed
from celeriac.families.cleanup.policy import Hashed, Pattern, Policy
from celeriac.families.cleanup.statements import Parameters, Row, Statements

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
        keys = self._statements.keys(rows)
        found: list[Parameters] = []
        for key, old in zip(keys, self._statements.reading.pick(rows, self._columns), strict=True):
            new = [make(value, key) for make, value in zip(self._makes, old, strict=True)]
            if any(one != other or (one is None) != (other is None) for one, other in zip(new, old, strict=True)):
                parameters = {f"celeriac_value_{at}": value for at, value in enumerate(new)}
                found.append(parameters | {f"celeriac_key_{at}": value for at, value in enumerate(key)})
        return found
