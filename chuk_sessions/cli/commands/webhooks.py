"""`webhooks`: the endpoints of webhooks, and messages that were not delivered."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from ...models import iso_from_ms
from ..app import command, group
from ..context import Context
from ..exits import ExitCode

group("webhooks", "List and change the endpoints of webhooks. `relay` delivers to them.")

_COLUMNS = ("id", "url", "enabled", "disabled_because", "types", "sandboxes")
EndpointId = Annotated[str, typer.Argument(metavar="ID", help="The id of an endpoint.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Host that may have private addresses, and URLs with http. Repeatable."),
]


@command("list", group="webhooks")
async def list_(
    context: Context, urls: Annotated[bool, typer.Option("--urls", help="Print whole URLs.")] = False
) -> None:
    """List the endpoints. Paths of URLs may be secrets, and are printed on request."""
    async with _endpoints(context) as endpoints:
        context.output.rows(_COLUMNS, [_row(endpoint, whole=urls) for endpoint in await endpoints.list()])


@command("add", group="webhooks")
async def add(
    context: Context,
    url: Annotated[str, typer.Argument(metavar="URL_OF_ENDPOINT", help="Begins with https://.")],
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="A type of events, such as session.ended; by default all."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only-sandbox", metavar="NAME", help="A sandbox whose events to send; by default all."),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Allow private addresses, and http. Never for a customer's URL.")
    ] = False,
    ordered: Annotated[bool, typer.Option("--ordered", help="Send each message after all earlier ones.")] = False,
    allow_host: AllowHost = None,
) -> None:
    """Add an endpoint, and print its secret, which is not shown again."""
    async with _endpoints(context, allow_hosts=allow_host or ()) as endpoints:
        added = await endpoints.add(url, types or None, only or None, allow_private=allow_private, ordered=ordered)
    context.output.fields({**_row(added, whole=True), "secret": added.secret})


@command("remove", group="webhooks")
async def remove(
    context: Context,
    endpoint_id: EndpointId,
    yes: Annotated[bool, typer.Option("--yes", help="Remove. Without this, only print what would be removed.")] = False,
) -> None:
    """Remove an endpoint, with its messages and dead letters. Without --yes, nothing is changed."""
    async with _endpoints(context) as endpoints:
        found = await endpoints.get(endpoint_id)
        if yes:
            await endpoints.remove(endpoint_id)
            context.output.line(f"{endpoint_id} was removed", {"id": endpoint_id, "removed": True})
            return
        context.output.rows(_COLUMNS, [_row(found)])
        letters = len(await endpoints.dead_letters(endpoint_id))
        context.say(f"dry run: it would be removed with {letters} dead letters; repeat the command with --yes")


@command("enable", group="webhooks")
async def enable(context: Context, endpoint_id: EndpointId) -> None:
    """Resume sending messages to an endpoint, including those that wait."""
    async with _endpoints(context) as endpoints:
        context.output.rows(_COLUMNS, [_row(await endpoints.enable(endpoint_id))])


@command("disable", group="webhooks")
async def disable(context: Context, endpoint_id: EndpointId) -> None:
    """Stop sending messages to an endpoint. They wait."""
    async with _endpoints(context) as endpoints:
        context.output.rows(_COLUMNS, [_row(await endpoints.disable(endpoint_id))])


@command("test", group="webhooks")
async def trial(context: Context, endpoint_id: EndpointId, allow_host: AllowHost = None) -> int:
    """Send a signed test message once, also to a disabled endpoint. The exit code is 1 if it is not accepted."""
    async with _endpoints(context) as endpoints:
        endpoint = await endpoints.get(endpoint_id)
    module = import_module("....events.webhooks.trial", __name__)
    outcome = await module.send_test(endpoint, allow_hosts=frozenset(allow_host or ()))
    fields = {"id": endpoint_id, "delivered": outcome.delivered, "error": outcome.error or None}
    context.output.line("accepted" if outcome.delivered else f"not accepted: {outcome.error}", fields)
    return ExitCode.SUCCESS if outcome.delivered else ExitCode.FINDINGS


@command("letters", group="webhooks")
async def letters(context: Context, endpoint_id: EndpointId) -> int:
    """List dead letters: messages whose delivery was given up. The exit code is 1 if there are any."""
    async with _endpoints(context) as endpoints:
        found = await endpoints.dead_letters(endpoint_id)
    rows = [
        {
            "message": letter.id,
            "type": letter.content.get("type"),
            "attempts": letter.attempts,
            "last_error": letter.last_error,
            "given_up_at": iso_from_ms(letter.given_up_at),
        }
        for letter in found
    ]
    context.output.rows(("message", "type", "attempts", "last_error", "given_up_at"), rows)
    return ExitCode.FINDINGS if rows else ExitCode.SUCCESS


@command("resend", group="webhooks")
async def resend(
    context: Context,
    endpoint_id: EndpointId,
    message: Annotated[
        list[str] | None, typer.Option(metavar="MESSAGE", help="A message to send again; by default all.")
    ] = None,
) -> None:
    """Send dead letters again. Each gets ten new attempts."""
    async with _endpoints(context) as endpoints:
        number = await endpoints.resend(endpoint_id, message or None)
    context.output.line(f"{number} messages will be sent again", {"id": endpoint_id, "resent": number})


def _endpoints(context: Context, **settings: Any) -> Any:
    from ...events import WebhookEndpoints  # noqa: PLC0415  (other commands do not need it)

    return WebhookEndpoints(context.factory(), encryption=context.encryption(), **settings)


def _row(endpoint: Any, *, whole: bool = False) -> dict[str, Any]:
    parts = urlsplit(endpoint.url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return {
        "id": endpoint.id,
        "url": endpoint.url if whole or endpoint.url in (origin, f"{origin}/") else f"{origin}/...",
        "format": endpoint.format,
        "enabled": endpoint.enabled,
        "disabled_because": endpoint.disabled_because,
        "failing_since": None if endpoint.failing_since is None else iso_from_ms(endpoint.failing_since),
        "types": endpoint.types,
        "sandboxes": endpoint.sandboxes,
        "ordered": endpoint.ordered,
        "allow_private": endpoint.allow_private,
    }
