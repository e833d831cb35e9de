"""Answers of web servers, waited for within limits; redirects stay on the web and out of private networks."""

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

ANSWER = 12.0  # seconds for name, connection, redirects and the head of the answer
PATIENCE = 10.0  # seconds without a byte, and over which the rate is measured
SLOWEST = 1024  # bytes a second
LONGEST = 1 << 34  # bytes of a file whose length is not declared
_PIECE = 1 << 20  # bytes that are read at once


@dataclass(frozen=True)
class _Head:
    """The beginning of an answer."""

    status: int
    headers: Message
    digest: str


class Answer:
    """What a server answers: its head at once, the body in pieces.

    All that may wait for the network happens in a thread, which is left behind if nothing comes in time. Proxies are
    those of the environment (https_proxy, no_proxy, …).

    Args:
        address: http:// or https://; what browsers accept is quoted as they do.
        headers: of the request, beside the usual.

    Raises:
        ConnectionError: the address is none, or cannot be had; the message is the reason alone.
    """

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        self._came: Queue[_Head | bytes | Exception] = Queue(4)
        self._stopped = Event()
        Thread(target=self._receive, args=(address, headers or {}), daemon=True).start()
        head: _Head = self._next(ANSWER)
        self.status, self.headers, self.digest = head.status, head.headers, head.digest

    def pieces(self) -> Iterator[bytes]:
        """The body.

        Raises:
            ConnectionError: it breaks off or comes too slowly.
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
        """Receive no more."""
        self._stopped.set()
        while not self._came.empty():
            self._came.get_nowait()

    def _next(self, seconds: float) -> Any:
        try:
            came = self._came.get(timeout=seconds)
        except Empty:
            self.close()
            raise ConnectionError(f"no answer within {seconds:.0f} seconds") from None
        if isinstance(came, OSError | HTTPException | ValueError | OverflowError):  # of sockets, http.client and urllib
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
        except Exception as error:  # raised again where the answer is awaited
            self._came.put(error)


def _open(address: str, headers: Mapping[str, str]) -> tuple[HTTPResponse, str]:
    """The response of the last server, and the SHA-256 that one on the way has published."""
    parts = urlsplit(address)
    if parts.username is not None:
        raise ConnectionError("a name or password in an address is seen by others; download the file with it yourself")
    redirects = _Redirects(parts.hostname or "")
    opener = OpenerDirector()  # of these alone: build_opener adds file:// and ftp://
    answers = (HTTPErrorProcessor(), HTTPDefaultErrorHandler(), redirects)
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler(), UnknownHandler(), *answers):
        opener.add_handler(handler)
    request = Request(quote(address, safe=string.punctuation), headers={"User-Agent": "swinv2", **headers})
    response = opener.open(request, timeout=PATIENCE)
    return response, redirects.digest or published_digest(response.headers)


class _Redirects(HTTPRedirectHandler):
    """Redirects that may be followed, at most ten.

    Args:
        host: that the user has named; only from a private one may a redirect lead to a private one.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.digest = ""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The request for the new address.

        Raises:
            ConnectionError: it leads off the web, or into a private network.
        """
        self.digest = self.digest or published_digest(headers)
        new = urlsplit(newurl)
        if new.scheme not in ("http", "https") or (new.scheme, req.type) == ("http", "https"):
            raise ConnectionError(f"it leads from {req.type}:// to {newurl[:80]}; give that address if it is meant")
        if is_public(self.host) and not is_public(new.hostname or ""):
            raise ConnectionError(f"it leads to {new.netloc}, in a private network; give that address if it is meant")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_public(host: str) -> bool:
    """Whether no address of a host is this machine's or of a private network; one that is not found here is public."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):  # as behind a proxy, which knows names that this machine does not
        return True
    addresses = [ip_address(text) for text in found]
    mapped = [(address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address for address in addresses]
    return all(address.is_global for address in mapped)


def published_digest(headers: Message) -> str:
    """The SHA-256 that the Hugging Face hub tells of a file; nothing if there is none."""
    etag = headers.get("X-Linked-Etag", "").strip('"')
    return etag if re.fullmatch(r"[0-9a-f]{64}", etag) else ""


def _reason(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, HTTPError):
        error.close()
    elif isinstance(error, URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, TimeoutError):
        return f"nothing came for {PATIENCE:.0f} seconds"
    text = " ".join(str(error).split())
    return f"the server does not speak HTTP as it should: {text}" if isinstance(error, HTTPException) else text
