import time

import pytest

from swinv2.downloads import addresses
from swinv2.downloads.addresses import Answer, is_public


def read(address, **headers):
    """The whole body at an address."""
    return b"".join(Answer(address, headers).pieces())


def send(*lines, wait=0.0):
    """An answer of raw lines with pauses between them."""

    def answer(handler):
        for line in lines:
            handler.wfile.write(line)
            time.sleep(wait)

    return answer


@pytest.fixture
def impatient(monkeypatch):
    """Limits of a fraction of a second."""
    monkeypatch.setattr(addresses, "ANSWER", 0.4)
    monkeypatch.setattr(addresses, "PATIENCE", 0.3)


def test_an_answer_has_head_and_body(web):
    """Bodies larger than a piece come whole, and what is asked for is said."""
    data = bytes(range(256)) * 8192
    answer = Answer(web.serve("/a", data, ETag='"1"'), {"Range": "bytes=0-"})
    assert (answer.status, answer.headers["ETag"], b"".join(answer.pieces())) == (200, '"1"', data)
    assert web.requests[0].headers["Range"] == "bytes=0-"


def test_bodies_in_chunks_are_read(web):
    """They have no length that is declared."""
    web.answers["/a"] = send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")
    assert read(web.address + "/a") == b"abcd"


def test_what_browsers_accept_is_quoted(web):
    """Spaces, letters of any script; what is quoted already stays."""
    web.serve("/mod%C3%A8le%20a%2Fb.pth?x=1&y=%20", b"x")
    assert read(web.address + "/modèle a%2Fb.pth?x=1&y=%20") == b"x"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([b"HTTP/1.1 200 OK\r\n"], "no answer within 0 seconds|nothing came for"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 9], "no answer within"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"], "no answer within|nothing came for"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", *[b"a"] * 9], r"only \d bytes came in 0 seconds"),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1", *[b";a"] * 9],
            "no answer within|nothing came for",
        ),
    ],
    ids=["silent", "dripping head", "silent body", "dripping body", "dripping chunk"],
)
def test_slow_servers_are_left(web, impatient, lines, reason):
    """Whatever part of the answer they let drip or keep to themselves."""
    web.answers["/a"] = send(*lines, wait=0.2 if len(lines) > 1 else 1)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=reason):
        read(web.address + "/a")
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([b"\x00\x01 no\r\n\r\n"], "does not speak HTTP as it should"),
        ([], "does not speak HTTP as it should: Remote end closed"),
        ([b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 200, b"\r\n"], "got more than 100 headers"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"], "IncompleteRead"),
        ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], "HTTP Error 404: Not Found"),
    ],
    ids=["no HTTP", "nothing", "many headers", "cut chunk", "not found"],
)
def test_wrong_answers_are_explained(web, lines, reason):
    """The reason is one line."""
    web.answers["/a"] = send(*lines)
    with pytest.raises(ConnectionError, match=reason) as caught:
        read(web.address + "/a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("http://", "http://[::1", "http://127.0.0.1:99999/x", "http://127.0.0.1:x/x", "http://127.0.0.1:1/x"),
        *("http://nowhere.invalid/x", "http://\0/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"),
    ],
)
def test_addresses_that_are_none_are_explained(address):
    """What is no address, of no host, or of another scheme."""
    with pytest.raises(ConnectionError, match=r".+"):
        read(address)


def test_passwords_in_addresses_are_refused():
    """They would end up in logs."""
    with pytest.raises(ConnectionError, match="a name or password in an address is seen by others"):
        read("http://me:secret@127.0.0.1:1/x")


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1:1/x", "data:,x", "gopher://x", "//[::1", "/loop", "http://127.0.0.1:1/x"],
)
def test_redirects_off_the_web_are_refused(web, target):
    """Files of this machine, other schemes, circles."""
    with pytest.raises(ConnectionError, match=r".+"):
        read(web.serve("/loop", status=302, Location=target))


def test_redirects_are_followed(web):
    """On the web; what the hub says of a file with one is noted."""
    digest = "0a" * 32
    web.serve("/b", b"x")
    answer = Answer(web.serve("/a", status=307, Location="/b", X_Linked_Etag=f'"{digest}"'))
    assert (b"".join(answer.pieces()), answer.digest) == (b"x", digest)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/x", "http://localhost/x", "http://10.0.0.1/x", "http://[::ffff:169.254.169.254]/x"]
)
def test_redirects_from_the_web_to_own_networks_are_refused(web, monkeypatch, target):
    """A proxy of the environment is asked for the public name, and answers with a redirect."""
    monkeypatch.setenv("http_proxy", web.address)
    web.serve("http://weights.invalid/a", status=302, Location=target)
    with pytest.raises(
        ConnectionError, match=r"it leads to .*, in a private network; give that address if it is meant"
    ):
        read("http://weights.invalid/a")
    assert [request.path for request in web.requests] == ["http://weights.invalid/a"]


def test_proxies_are_used(web, monkeypatch):
    """Of the environment, which also says for whom they are not."""
    monkeypatch.setenv("http_proxy", web.address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    web.serve("http://weights.invalid/a", b"by proxy")
    assert read("http://weights.invalid/a") == b"by proxy"
    assert read(web.serve("/a", b"direct")) == b"direct"


@pytest.mark.parametrize(
    ("host", "public"),
    [
        *(("8.8.8.8", True), ("2600::1", True), ("name.invalid", True), ("a" * 99 + ".x", True)),
        *(
            ("127.0.0.1", False),
            ("2130706433", False),
            ("::1", False),
            ("fe80::1%lo", False),
            ("::ffff:10.1.1.1", False),
        ),
        *(("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("localhost", False)),
    ],
)
def test_public_hosts(host, public):
    """All addresses of a host count, in whatever way they are written."""
    assert is_public(host) == public
