"""`./dev demo`: every recipient of its mailing gets one mail, counted by the mail server."""

from __future__ import annotations

import json

from tests.support.running import running

RECIPIENTS = 150  # two chunks, so that both of a worker's processes may send


async def test_every_mail_of_the_demo_arrives_once() -> None:
    async with running(["-m", "demo", "--exit", "--json", "--recipients", str(RECIPIENTS)]) as demo:
        assert await demo.ended(within=90) == 0, "\n".join(demo.lines)
    outcome = json.loads(demo.lines[-1])
    assert outcome.pop("job") and outcome.pop("seconds") > 0
    assert outcome == {"recipients": RECIPIENTS, "delivered": RECIPIENTS, "failed": 0, "duplicates": 0}
