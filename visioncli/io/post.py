"""One POST of JSON to a URL that somebody gave: through the fetch client and its guard, without redirects or retries.

Knows nothing of what is sent, or of jobs.
"""

from __future__ import annotations

import asyncio

import aiohttp
from yarl import URL

from visioncli.io.address import parse_url
from visioncli.io.web import Client, translate


async def post(client: Client, url: str, body: bytes) -> int:
    """Send a JSON text and return the status of the answer, whose body is not read.

    Raises FetchError: url_invalid, url_refused, fetch_timeout, fetch_connection, fetch_tls.
    """
    address = parse_url(url.encode("utf-8", "surrogatepass"))
    headers = {"Content-Type": "application/json"}
    if address.authorization:
        headers["Authorization"] = address.authorization
    session = client.session_for(address)
    target = URL(str(address), encoded=True)
    async with client.hosts.turn(address):
        try:
            async with (
                asyncio.timeout(client.options.timeout_s),
                session.post(target, data=body, headers=headers, allow_redirects=False) as response,
            ):
                return response.status
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            translate(error, address, client.options)
