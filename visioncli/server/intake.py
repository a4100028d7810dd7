"""How much of their bodies all requests together may hold: many large ones at once must not fill the memory.

A body counts from its first byte until its request is answered, for what was made of it (text, pictures) lives as long.
Knows nothing of dialects: what it raises while a dialect reads, the dialect words.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visioncli.server.refusals import Busy

INTAKE_BYTES = 512 * 2**20  # eight of the largest bodies; JSON and base64 make about three times as much of it
RETRY_AFTER_S = 2


class Intake:
    """Of one event loop."""

    def __init__(self, limit: int = INTAKE_BYTES) -> None:
        self.limit, self.held = limit, 0

    def bounded(self, app: ASGIApp) -> ASGIApp:
        """Wrap an app: reading a body raises Busy where all bodies together would be too much."""

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            own = 0

            async def received() -> Message:
                nonlocal own
                message = await receive()
                size = len(message.get("body", b""))
                if self.held + size > self.limit:
                    raise Busy("the bodies of all requests together are more than there is room for", RETRY_AFTER_S)
                self.held, own = self.held + size, own + size
                return message

            try:
                await app(scope, received, send)
            finally:
                self.held -= own

        return answered
