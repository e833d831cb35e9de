"""Servers as they are not meant to be: what is loaded from them is what they have, or the error says why not."""

import time
from io import BytesIO
from typing import NamedTuple

import torch

from swinv2.downloads import addresses
from swinv2.weights.files import read_checkpoint
from tests.odd.outcomes import try_all
from tests.web import Web

WEIGHTS = {f"layers.{i}.weight": torch.arange(200.0) + i for i in range(3)}
LENGTHS = ["-5", "abc", "", "0", "1e3", "+12", "9" * 30, "12, 13", "0x10", "١٢"]
LOCATIONS = [
    "file:///etc/passwd",
    "ftp://127.0.0.1:1/x",
    "data:,x",
    "//[::1",
    "/a.pth",
    "",
    "http://",
    "\\\\x",
    "?" * 9,
]
NOISE = [
    b"",
    b"\0\1\2\r\n\r\n",
    b"HTTP/9.9 banana\r\n\r\n",
    b"HTTP/1.1 99999 x\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"SSH-2\r\n",
]
ADDRESSES = ["{}/a.pth", "{}/a b.pth", "{}/é.pth?x=1#y", "{}", "{}/..", "{}/a.pth/", "{}/%zz.pth", "{}//a-00aa11bb.pth"]
WRONG = ["http://", "http:///a", "http://[::1", "http://127.0.0.1:99999/a", "http://a b/c", "http://nowhere.invalid/x"]
ENCODINGS = [("Content-Encoding", "gzip"), ("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked, gzip")]


def file_of(weights):
    """The bytes of a checkpoint."""
    buffer = BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


DATA = file_of(WEIGHTS)


class Reply(NamedTuple):
    """An answer of a server.

    Attributes:
        status: of it.
        headers: names and values.
        body: of the whole file; a request for a range gets its part if `ranged`.
        sent: how much of it is sent.
        chunked: whether it comes in chunks.
        pause: seconds between some of its pieces.
        ranged: whether ranges are answered.
        noise: bytes in place of all that.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    sent: float
    chunked: bool
    pause: float
    ranged: bool
    noise: bytes | None


class Given(NamedTuple):
    """An address, with {} for the server, and the answers of this in their order; the last one stays."""

    address: str
    replies: list[Reply]


def reply(rng):
    """An answer with some faults, or none."""
    body = DATA
    if rng.random() < 0.3:
        place = rng.randrange(len(DATA))
        flipped = DATA[:place] + bytes([DATA[place] ^ 1 << rng.randrange(8)]) + DATA[place + 1 :]
        body = rng.choice([flipped, DATA[:place], DATA + b"x" * 99, b"<html>no</html>", b"", bytes(3000), b"{}" * 999])
    headers = [("ETag", rng.choice(['"1"', '"2"', 'W/"1"', "", '"' + "0" * 64 + '"']))] if rng.random() < 0.6 else []
    if not (chunked := rng.random() < 0.2):
        headers.append(("Content-Length", rng.choice(LENGTHS) if rng.random() < 0.1 else str(len(body))))
    if rng.random() < 0.15:
        headers.append(rng.choice([*ENCODINGS, ("X-Linked-Etag", '"' + "0a" * 32 + '"'), ("Content-Length", "7")]))
    status = rng.choice([301, 302, 307, 204, 206, 400, 401, 404, 416, 429, 500, 503]) if rng.random() < 0.2 else 200
    if status < 400 and status > 300:
        headers.append(("Location", rng.choice(LOCATIONS)))
    sent = rng.random() if rng.random() < 0.3 else 1.0
    pause = 0.15 if rng.random() < 0.05 else 0.0
    noise = rng.choice(NOISE) if rng.random() < 0.08 else None
    return Reply(status, headers, body, sent, chunked, pause, rng.random() < 0.5, noise)


def make(rng):
    """An address and what is behind it."""
    address = rng.choice(WRONG) if rng.random() < 0.05 else rng.choice(ADDRESSES)
    return Given(address, [reply(rng) for _ in range(rng.randint(1, 4))])


def send(handler, given):
    """Answer as a reply says."""
    if given.noise is not None:
        handler.wfile.write(given.noise)
        return
    body, headers, status = given.body, given.headers, given.status
    start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
    if start and given.ranged and not given.chunked and status == 200:
        headers = [(name, value) for name, value in headers if name != "Content-Length"]
        headers += [("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")]
        status, body = 206, body[start:]
        headers += [("Content-Length", str(len(body)))]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head += "Transfer-Encoding: chunked\r\n" if given.chunked else ""
    handler.wfile.write(f"HTTP/1.1 {status} x\r\n{head}\r\n".encode())
    body = body[: int(len(body) * given.sent)]
    for place in range(0, len(body), 1000):
        piece = body[place : place + 1000]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if given.chunked else piece)
        time.sleep(given.pause)
    if given.chunked and given.sent == 1:
        handler.wfile.write(b"0\r\n\r\n")


class Use:
    """Loads what a server has, three times."""

    def __init__(self, web, folder, monkeypatch):
        self.web, self.folder, self.monkeypatch, self.count = web, folder, monkeypatch, 0

    def __call__(self, given):
        """What is wrong with the weights, if there are any."""
        self.count += 1
        self.monkeypatch.setenv("TORCH_HOME", str(self.folder / str(self.count)))
        replies = [*given.replies]
        self.web.missing = lambda handler: send(handler, replies.pop(0) if len(replies) > 1 else replies[0])
        for last in (False, False, True):
            try:
                state = read_checkpoint(given.address.format(self.web.address))
            except (ValueError, OSError):
                if last:
                    raise
                continue
            same = state.keys() == WEIGHTS.keys() and all(torch.equal(state[key], WEIGHTS[key]) for key in WEIGHTS)
            return None if same else "other weights"
        return None


def test_servers_of_any_kind(tmp_path, monkeypatch):
    """Each address is asked several times, so that downloads are continued and caches are used."""
    monkeypatch.setattr(addresses, "ANSWER", 0.5)
    monkeypatch.setattr(addresses, "PATIENCE", 0.3)
    with Web() as web:
        use = Use(web, tmp_path, monkeypatch)
        try_all(make, use)
