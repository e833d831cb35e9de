"""HTTP responses with time limits; redirects may not leave the web or enter private networks."""

import re
import socket
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPMessage, HTTPResponse
from ipaddress import IPv6Address, ip_address
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

ANSWER = 12.0  # seconds for name, connection, redirects and response headers
PATIENCE = 10.0  # longest seconds without a byte, and interval over which the rate is measured
SLOWEST = 1024  # bytes a second
LONGEST = 1 << 34  # bytes of a file whose length is not declared
_PIECE = 1 << 20  # bytes to read at once


@dataclass(frozen=True)
class _Head:
    """Status and headers of a response."""

    status: int
    headers: Message
    digest: str


class Answer:
    """HTTP response: status and headers on construction, the body in pieces.

    All network access happens in a thread, which is abandoned if nothing comes in time. Proxies are those of the
    environment (https_proxy, no_proxy, …).

    Args:
        address: http:// or https://; special characters are quoted as browsers do.
        headers: further headers of the request.

    Raises:
        ConnectionError: the address is invalid or unreachable; the message is the reason alone.
    """

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        self._came: Queue[_Head | bytes | Exception] = Queue(4)
        self._stopped = Event()
        Thread(target=self._receive, args=(address, headers or {}), daemon=True).start()
        head: _Head = self._next(ANSWER)
        self.status, self.headers, self.digest = head.status, head.headers, head.digest

    def pieces(self) -> Iterator[bytes]:
        """Pieces of the body.

        Raises:
            ConnectionError: the transfer breaks off or is too slow.
        """
        received, waited = 0, 0.0
        while True:
            start = monotonic()
            piece: bytes = self._next(PATIENCE)
            received, waited = received + len(piece), waited + monotonic() - start
            if not piece:
                return
            if waited > PATIENCE:
                if received < SLOWEST * waited:
                    raise ConnectionError(f"only {received:,} bytes came in {waited:.0f} seconds")
                received, waited = 0, 0.0
            yield piece

    def close(self) -> None:
        """Stop receiving."""
        self._stopped.set()
        while not self._came.empty():
            self._came.get_nowait()

    def _next(self, seconds: float) -> Any:
        try:
            came = self._came.get(timeout=seconds)
        except Empty:
            self.close()
            raise ConnectionError(f"no answer within {seconds:.0f} seconds") from None
        if isinstance(came, OSError | HTTPException | ValueError | OverflowError):  # sockets, http.client, urllib
            raise ConnectionError(_reason(came)) from came
        if isinstance(came, Exception):
            raise came
        return came

    def _receive(self, address: str, headers: Mapping[str, str]) -> None:
        try:
            response, digest = _open(address, headers)
            with response:
                self._came.put(_Head(response.status, response.headers, digest))
                left = LONGEST + 1 if response.length is None else response.length
                while not self._stopped.is_set() and (piece := response.read1(min(_PIECE, left))):
                    left -= len(piece)
                    self._came.put(piece)
            self._came.put(b"")
        except Exception as error:  # raised again by `_next`
            self._came.put(error)


def _open(address: str, headers: Mapping[str, str]) -> tuple[HTTPResponse, str]:
    """Response of the last server, and the SHA-256 that it or a redirecting server has published."""
    parts = urlsplit(address)
    if parts.username is not None:
        raise ConnectionError("a name or password in an address is seen by others; download the file with it yourself")
    redirects = _Redirects(parts.hostname or "")
    opener = OpenerDirector()  # with the handlers below alone; build_opener would add file:// and ftp://
    answers = (HTTPErrorProcessor(), HTTPDefaultErrorHandler(), redirects)
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler(), UnknownHandler(), *answers):
        opener.add_handler(handler)
    request = Request(quote(address, safe=string.punctuation), headers={"User-Agent": "swinv2", **headers})
    response = opener.open(request, timeout=PATIENCE)
    return response, redirects.digest or published_digest(response.headers)


class _Redirects(HTTPRedirectHandler):
    """Handler of up to ten redirects that refuses unsafe ones.

    Args:
        host: of the user's address; a redirect may lead to a private host only if this one is private.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.digest = ""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Request for the new address.

        Raises:
            ConnectionError: the redirect leaves http(s), drops https, or leads into a private network.
        """
        self.digest = self.digest or published_digest(headers)
        new = urlsplit(newurl)
        if new.scheme not in ("http", "https") or (new.scheme, req.type) == ("http", "https"):
            raise ConnectionError(f"it leads from {req.type}:// to {newurl[:80]}; give that address if it is meant")
        if is_public(self.host) and not is_public(new.hostname or ""):
            raise ConnectionError(f"it leads to {new.netloc}, in a private network; give that address if it is meant")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_public(host: str) -> bool:
    """Whether all addresses of a host are public; True for a host whose name cannot be resolved here."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):  # e.g. behind a proxy, which resolves names itself
        return True
    addresses = [ip_address(text) for text in found]
    mapped = [(address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address for address in addresses]
    return all(address.is_global for address in mapped)


def published_digest(headers: Message) -> str:
    """SHA-256 of a file by the headers of the Hugging Face hub; empty if there is none."""
    etag = headers.get("X-Linked-Etag", "").strip('"')
    return etag if re.fullmatch(r"[0-9a-f]{64}", etag) else ""


def _reason(error: Exception) -> str:
    """Reason of an error, on one line."""
    if isinstance(error, HTTPError):
        error.close()
    elif isinstance(error, URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, TimeoutError):
        return f"nothing came for {PATIENCE:.0f} seconds"
    text = " ".join(str(error).split())
    return f"the server does not speak HTTP as it should: {text}" if isinstance(error, HTTPException) else text
