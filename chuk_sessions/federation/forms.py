"""Requests of OAuth endpoints: forms with a limited size, and errors as in section 5.2 of RFC 6749."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from ..asgi_messages import BodyTooLargeError, DisconnectedError, Receive, Scope, read_body

MAX_BODY: Final = 16_384
_MOST_FIELDS: Final = 20
_FORM: Final = "application/x-www-form-urlencoded"


class RefusedError(Exception):
    """A request that gets an error as its response.

    Attributes:
        code: the code of the error, such as `invalid_request`.
        status: the status of the response.

    """

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


async def read_form(scope: Scope, receive: Receive) -> dict[str, str]:
    """Return the fields of a form. Raises RefusedError for a body that is too large, or no form, or repeats a field."""
    given = headers_of(scope, b"content-type")
    if len(given) != 1 or given[0].partition(";")[0].strip().lower() != _FORM:
        raise RefusedError("invalid_request", f"the content type must be {_FORM}")
    try:
        body = await read_body(receive, MAX_BODY)
    except DisconnectedError:
        raise RefusedError("invalid_request", "the request was not completed") from None
    except BodyTooLargeError:
        raise RefusedError("invalid_request", "the request is too large", 413) from None
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise RefusedError("invalid_request", "the body must be a form") from None
    found = dict(fields)
    if len(found) < len(fields):
        raise RefusedError("invalid_request", "a parameter occurs twice")
    return found


def headers_of(scope: Scope, name: bytes) -> list[str]:
    """Return all values of a header."""
    return [value.decode("latin-1") for found, value in scope["headers"] if found.lower() == name]


def required(form: Mapping[str, str], name: str) -> str:
    """Return a parameter. Raises RefusedError if it is missing or empty."""
    value = form.get(name)
    if not value:
        raise RefusedError("invalid_request", f"the parameter {name} is missing")
    return value
