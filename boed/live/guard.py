"""What every request has to pass before the session hears of it."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "boed_token"
"""Begins the name of the cookie, which ends with the port: browsers share cookies among ports."""

BODY_EVERY = 30.0
"""Seconds within which the next part of a body has to come."""

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Of every answer."""


class Guard:
    """An application behind checks of who asks and how much is sent.

    The Host has to be an IP address, `localhost` or the name that the server was given, so that
    another site's name cannot be made to point here (DNS rebinding). A page of another origin is
    refused whatever it asks for. Where there is a token, it has to come along: in the cookie that
    the page's link sets, or as `Authorization: Bearer TOKEN`. A body is refused by the length that
    it states, or as soon as it is longer than the limit; one that ends before it is whole is not
    heard of.

    Args:
        app: the application.
        host: name or address that the server was given.
        token: that is asked for, if any.
        limit: bytes of a body, at most.
    """

    def __init__(self, app: App, *, host: str, token: str | None, limit: int) -> None:
        self.app, self.host, self.token, self.limit = app, host, token, limit

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        refused = self._refusal(scope, headers)
        body = b""
        if refused is None:
            try:
                body, refused = await self._body(headers.get("content-length"), receive)
            except ConnectionAbortedError:
                return  # nobody is there any more
        if refused is not None:
            await _answer(send, *refused)
            return
        if (link := self._link(scope)) is not None:
            await _answer(send, 303, "see /", [(b"location", b"/"), (b"set-cookie", link)])
            return
        first = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(first, None) or await receive()

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self.app(scope, replay, with_headers)

    def _refusal(self, scope: Message, headers: dict[str, str]) -> tuple[int, str] | None:
        """What speaks against a request, by its headers."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, f"Host is {host!r}, expected an IP address, localhost or {self.host}"
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, f"Origin is {origin!r}, expected the page of this server"
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return 403, "Sec-Fetch-Site is 'cross-site', expected the page of this server"
        if self.token is not None and not self._knows(self._tokens(scope, headers)):
            return 401, "token is missing or another one; open the link that boed live printed"
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        name = name.strip("[]").lower()
        if name in ("localhost", self.host.lower()):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _tokens(self, scope: Message, headers: dict[str, str]) -> Iterable[str]:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        if (name := _cookie(scope)) in cookies:
            yield cookies[name].value
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            yield value.strip()
        yield from _in_link(scope)

    def _knows(self, tokens: Iterable[str]) -> bool:
        ours = (self.token or "").encode()
        return any(hmac.compare_digest(each.encode(), ours) for each in tokens)

    def _link(self, scope: Message) -> bytes | None:
        """The cookie that the page's link with the right token sets."""
        if self.token is None or not self._knows(_in_link(scope)):
            return None
        return f"{_cookie(scope)}={self.token}; HttpOnly; SameSite=Lax; Path=/".encode()

    async def _body(
        self, stated: str | None, receive: Receive
    ) -> tuple[bytes, tuple[int, str] | None]:
        """A whole body, or what speaks against it.

        Raises:
            ConnectionAbortedError: it was cut off.
        """
        too_long = (413, f"body has more than {self.limit:,} bytes")
        if stated is not None and not stated.isdecimal():
            return b"", (400, f"Content-Length is {stated!r}, expected a number")
        if stated is not None and int(stated) > self.limit:
            return b"", too_long
        body = bytearray()
        more = True
        while more:
            try:
                message = await asyncio.wait_for(receive(), BODY_EVERY)
            except TimeoutError:
                return b"", (408, f"body is not whole, and nothing came for {BODY_EVERY:g} s")
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError
            body += message.get("body", b"")
            if len(body) > self.limit:
                return b"", too_long
            more = message.get("more_body", False)
        return bytes(body), None


def _cookie(scope: Message) -> str:
    """Name of the cookie that has the token of this server."""
    return f"{COOKIE}_{scope['server'][1]}"


def _in_link(scope: Message) -> list[str]:
    """Tokens in the address of the page."""
    if scope["method"] != "GET" or scope["path"] != "/":
        return []
    return parse_qs(scope["query_string"].decode("latin-1")).get("token", [])


async def _answer(
    send: Send, status: int, said: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """A short answer that needs no application."""
    about = [(b"content-type", b"application/json"), *(headers or []), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": about})
    key = "error" if status >= 400 else "said"
    await send({"type": "http.response.body", "body": json.dumps({key: said}).encode()})
