"""Where a URL leads: its legal spelling, its origin, and whether --guard lets the address pass.

Knows nothing of HTTP. Names are resolved by whoever connects; the address is judged at that moment, so that a name
cannot resolve to something else in between.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote_to_bytes

from visioncli.errors import FetchError
from visioncli.samples import display

_PARTS = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)
_ILLEGAL = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]")  # RFC 3986, 2.2 to 2.4
_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?")
_PORTS = {"http": 80, "https": 443}
_IN_USE = ip_network("2000::/3")  # IANA, "IPv6 Global Unicast Address Assignments": all else of IPv6 is special
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
_SPECIAL = tuple(  # where Python's own table, which differs from version to version, lets something pass
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's wire server: metadata at a public address
            "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata at 192.0.0.192
            "192.88.99.0/24",  # 6to4 relays, given up (RFC 7526)
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # kept for later, and broadcast
            "2001::/23",  # IETF protocol assignments, Teredo among them
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Address:
    """An http or https URL, legal ASCII, without fragment and user."""

    scheme: str
    host: str  # lower case; IDNA; an IPv6 address without brackets
    port: int
    rest: str  # path and query, begins with /
    authorization: str | None = None  # Basic credentials that stood before the host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.rest}"

    def may_share_secrets_with(self, other: Address) -> bool:
        """The same origin, or the same host after the usual step from http to https."""
        step = (self.scheme, self.port, other.scheme, other.port)
        is_same = (self.scheme, self.port) == (other.scheme, other.port)
        return self.host == other.host and (is_same or step == ("http", 80, "https", 443))


def parse_url(uri: bytes) -> Address:
    """Read a URL as people write it: spaces and non-ASCII are quoted, what is quoted stays as it is.

    Raises FetchError: url_invalid.
    """
    parts = _PARTS.match(uri.strip())
    if parts is None:
        raise FetchError("url_invalid", f"{display(uri)} is not an http or https URL")
    user, _, place = parts[2].rpartition(b"@")
    host = _HOST.fullmatch(_ascii_host(place, uri))
    if host is None or int(host[2] or 0) > 65535:
        raise FetchError("url_invalid", f"{display(uri)} names no host")
    scheme = parts[1].decode().lower()
    rest = _ILLEGAL.sub(lambda illegal: b"".join(b"%%%02X" % byte for byte in illegal[0]), parts[3]).decode()
    return Address(
        scheme,
        host[1].strip("[]").lower(),
        int(host[2] or _PORTS[scheme]),
        rest if rest.startswith("/") else "/" + rest,
        "Basic " + base64.b64encode(unquote_to_bytes(user)).decode() if user else None,
    )


def _ascii_host(place: bytes, uri: bytes) -> str:
    try:
        return place.decode("ascii")
    except UnicodeDecodeError:
        pass
    try:
        host, colon, port = place.decode().partition(":")
        return host.encode("idna").decode() + colon + port
    except UnicodeError as error:
        raise FetchError("url_invalid", f"the host of {display(uri)} has no ASCII form") from error


def is_public(address: str) -> bool:
    """Whether a numeric address is reachable for all the world, and no cloud's metadata service."""
    number = ip_address(address.partition("%")[0])
    if isinstance(number, IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour
        if number in _NAT64:
            inner = IPv4Address(int(number) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if number not in _IN_USE:
            return False
    return number.is_global and not any(number in network for network in _SPECIAL)
