"""`celeriac webhooks`: adds endpoints, sends events, and shows and repeats deliveries without the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from celeriac.core import codec
from celeriac.core.errors import CommandLineWrong
from celeriac.core.faults import sentence
from celeriac.families.webhooks import WebhooksFamily
from celeriac.families.webhooks.model import DeliveryState
from celeriac.terminal import App, AsJson, print_facts, print_json, print_rows, run_in_family

if TYPE_CHECKING:
    from celeriac.families.webhooks.actions import Actions

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

webhooks = typer.Typer(
    name="webhooks", help="Send events to endpoints, and look at their deliveries.", no_args_is_help=True
)

EndpointId = Annotated[str, typer.Argument(help="The endpoint's id.")]
DeliveryId = Annotated[str, typer.Argument(help="The delivery's id.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many.")]
Owner = Annotated[str | None, typer.Option(help="Whose: events go to the endpoints of their owner.")]

_COLOURS = {"delivered": "green", "exhausted": "red", "refused": "red", "held": "yellow", "aborted": "yellow"}


@webhooks.command()
def endpoints(owner: Owner = None, limit: Limit = 50, app: App = None, as_json: AsJson = False) -> None:
    """List endpoints."""

    async def act(actions: Actions) -> list[dict[str, Any]]:
        from celeriac.families.webhooks.views import EndpointView

        found, _ = await actions.endpoints.page(owner=owner, after=None, limit=limit)
        return [EndpointView.of(one).model_dump(mode="json") for one in found]

    found = _run(app, act)
    columns = ("id", "enabled", "failures", "owner", "event_types", "url")
    print_rows(found, columns, as_json=found if as_json else None, nothing="no endpoints", shrinking=["url"])


@webhooks.command()
def add(
    url: Annotated[str, typer.Argument(help="Where to post: https://…")],
    event_type: Annotated[
        list[str] | None, typer.Option("--type", help="invoice.paid, invoice.*, or *; repeatable. Default: *")
    ] = None,
    owner: Owner = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second at most.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at a time at most.")] = None,
    fifo: Annotated[bool, typer.Option("--fifo", help="One event at a time, in their order.")] = False,
    signature: Annotated[str, typer.Option(help="v1: a shared secret; v1a: a key pair.")] = "v1",
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint, and print its id and its secret, which is shown this once."""
    given = {"url": url, "event_types": event_type, "owner": owner, "rate": rate, "concurrency": concurrency}
    given = {name: value for name, value in given.items() if value}

    async def act(actions: Actions) -> dict[str, Any]:
        from celeriac.families.webhooks.forms import NewEndpoint

        endpoint, secret = await actions.add(_form(NewEndpoint, {**given, "fifo": fifo, "signature": signature}))
        return {"id": endpoint.id, "secret": secret}

    print_facts(_run(app, act), as_json)


@webhooks.command()
def enable(endpoint_id: EndpointId, app: App = None, as_json: AsJson = False) -> None:
    """Enable an endpoint. `celeriac webhooks replay` sends what was held."""
    print_facts(_run(app, lambda actions: _endpoint(actions.endpoints.enable(endpoint_id))), as_json)


@webhooks.command()
def disable(endpoint_id: EndpointId, app: App = None, as_json: AsJson = False) -> None:
    """Disable an endpoint. Its deliveries are held."""
    print_facts(_run(app, lambda actions: _endpoint(actions.endpoints.disable(endpoint_id, "by hand"))), as_json)


@webhooks.command()
def rotate(
    endpoint_id: EndpointId,
    overlap: Annotated[float, typer.Option(help="Seconds for which the former secret signs as well.")] = 86400,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Give an endpoint a new secret, and print it, this once."""

    async def act(actions: Actions) -> dict[str, Any]:
        from celeriac.families.webhooks.forms import Rotation

        endpoint, secret = await actions.rotate(endpoint_id, _form(Rotation, {"overlap": overlap}))
        return {"id": endpoint.id, "secret": secret}

    print_facts(_run(app, act), as_json)


@webhooks.command()
def delete(endpoint_id: EndpointId, app: App = None, as_json: AsJson = False) -> None:
    """Delete an endpoint with all of its deliveries."""

    async def act(actions: Actions) -> dict[str, Any]:
        await actions.endpoints.delete(endpoint_id)
        return {"id": endpoint_id, "deleted": True}

    print_facts(_run(app, act), as_json)


@webhooks.command()
def test(endpoint_id: EndpointId, app: App = None, as_json: AsJson = False) -> None:
    """Send a test event to an endpoint, and print the delivery."""
    print_facts(_run(app, lambda actions: _delivery(actions.test(endpoint_id))), as_json)


@webhooks.command()
def send(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Words with dots between them: invoice.paid")],
    payload: Annotated[str, typer.Argument(help="JSON.")] = "{}",
    event_id: Annotated[str | None, typer.Option("--id", help="With it, the event is sent once.")] = None,
    owner: Owner = None,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Send an event to the endpoints that want its type, and print its id."""
    try:
        content = codec.loads(payload)
    except ValueError as error:
        raise CommandLineWrong(f"PAYLOAD is not JSON: {error}") from None

    async def act(actions: Actions) -> dict[str, Any]:
        from celeriac.families.webhooks.forms import EventForm

        form = _form(EventForm, {"type": event_type, "payload": content, "id": event_id, "owner": owner})
        event = (await actions.send(form)).event
        counts = await actions.jobs.deliveries.counts(event.number)
        return {"id": event.id, "deliveries": sum(counts.values())}

    print_facts(_run(app, act), as_json)


@webhooks.command()
def deliveries(
    endpoint: Annotated[str | None, typer.Option(help="To this endpoint.")] = None,
    event: Annotated[str | None, typer.Option(help="Of this event.")] = None,
    state: Annotated[DeliveryState | None, typer.Option(help="In this state.")] = None,
    limit: Limit = 50,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries, those of the newest events first."""

    async def act(actions: Actions) -> list[dict[str, Any]]:
        from celeriac.families.webhooks.deliveries import Choice
        from celeriac.families.webhooks.views import DeliveryView

        choice = Choice(endpoint=endpoint, event=event, states=None if state is None else [state])
        found, _ = await actions.jobs.deliveries.page(choice, after=None, limit=limit)
        return [DeliveryView.of(one).model_dump(mode="json") for one in found]

    columns = ("id", "state", "attempts", "status", "type", "event", "endpoint", "error")
    found = _run(app, act)
    given = found if as_json else None
    print_rows(found, columns, as_json=given, nothing="no deliveries", shrinking=["error"], colours=_COLOURS)


@webhooks.command()
def show(delivery_id: DeliveryId, app: App = None, as_json: AsJson = False) -> None:
    """Show a delivery and the log of its tries."""

    async def act(actions: Actions) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        from celeriac.families.webhooks.views import AttemptView

        facts = await _delivery(actions.jobs.deliveries.get(delivery_id))
        log = await actions.jobs.deliveries.attempts(delivery_id)
        return facts, [AttemptView.of(one).model_dump(mode="json") for one in log]

    facts, log = _run(app, act)
    if as_json:
        print_json({**facts, "log": log})
        return
    print_facts(facts, as_json)
    print_rows(log, ("number", "at", "milliseconds", "status", "error", "excerpt"), shrinking=["excerpt"])


@webhooks.command()
def cancel(delivery_id: DeliveryId, app: App = None, as_json: AsJson = False) -> None:
    """Do not try a delivery any more."""
    print_facts(_run(app, lambda actions: _delivery(actions.cancel(delivery_id))), as_json)


@webhooks.command()
def replay(
    delivery_id: Annotated[str | None, typer.Argument(help="One delivery, whatever came of it.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Deliveries to this endpoint.")] = None,
    event: Annotated[str | None, typer.Option(help="Deliveries of this event.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Events from this time on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Events before this time (UTC).")] = None,
    state: Annotated[
        list[DeliveryState] | None, typer.Option(help="In this state; repeatable. Default: ended without success.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    app: App = None,
    as_json: AsJson = False,
) -> None:
    """Send deliveries again: one, or all that ended without success of an endpoint, of an event, or since a time."""
    if delivery_id is not None:
        print_facts(_run(app, lambda actions: _delivery(actions.replay_one(delivery_id))), as_json)
        return
    if endpoint is event is since is None:
        raise CommandLineWrong("say which deliveries: give DELIVERY_ID, --endpoint, --event or --since")
    given = {"endpoint": endpoint, "event": event, "since": _utc(since), "until": _utc(until), "states": state}
    given = {name: value for name, value in given.items() if value}

    async def act(actions: Actions) -> dict[str, Any]:
        from celeriac.families.webhooks.forms import Replay

        count, job = await actions.replay(_form(Replay, {**given, "dry_run": dry_run}))
        return {"count": count, "job": job}

    print_facts(_run(app, act), as_json)


def _run(app: str | None, action: Callable[[Actions], Awaitable[T]]) -> T:
    return run_in_family(app, WebhooksFamily, lambda _, family: action(family.actions))


async def _endpoint(asked: Awaitable[Any]) -> dict[str, Any]:
    from celeriac.families.webhooks.views import EndpointView

    return EndpointView.of(await asked).model_dump(mode="json")


async def _delivery(asked: Awaitable[Any]) -> dict[str, Any]:
    from celeriac.families.webhooks.views import DeliveryView

    return DeliveryView.of(await asked).model_dump(mode="json")


def _form(kind: type[M], values: dict[str, Any]) -> M:
    """Check what was given, as the API does.

    Raises:
        CommandLineWrong: names what to change.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise CommandLineWrong(sentence(error.errors(), "options")) from None


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.replace(tzinfo=None).isoformat()}Z"
