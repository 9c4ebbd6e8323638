"""All policies with their states, as far as their databases answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from celeriac.core.errors import DatabaseUnavailable
from celeriac.database.patience import answering
from celeriac.families.cleanup.api_views import PolicyView
from celeriac.families.cleanup.policy import Policy

if TYPE_CHECKING:
    from celeriac.families.cleanup import CleanupFamily


async def all_policies(family: CleanupFamily) -> list[PolicyView]:
    """Return all policies. One whose database does not answer in time says why, and hides no other one."""
    return await asyncio.gather(*(_shown(family, policy) for policy in family.policies))


async def _shown(family: CleanupFamily, policy: Policy) -> PolicyView:
    try:
        async with answering("that is cleaned", family.host.settings.broker_timeout):
            return PolicyView.of(policy, await family.actions.show(policy.name))
    except DatabaseUnavailable as error:
        return PolicyView.of(policy, None, error.reason)
