"""Malformed requests to the page's server: each is answered or closed, and the next one is served."""

import io
import re
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from mutations import mutated_bytes
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "serving"))
from small_server import serving

ODD_TARGETS = ("http://[", "http://[::1", "//", "/predict/../../x", "*", "/%00", "/\xff", "http://a:b/", "?" * 9000, "")
ODD_VALUES = (
    "",
    "[",
    "[::1",
    "http://[",
    "-1",
    "1e9",
    "9" * 400,
    "\xff\xfe",
    "\x00",
    "a" * 70_000,
    "100-continue",
    "*",
)
NAMES = ("Host", "Origin", "Content-Length", "Transfer-Encoding", "Expect", "Sec-Fetch-Site", "Connection", "Upgrade")
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@pytest.fixture(scope="module")
def image():
    stream = io.BytesIO()
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(stream, format="PNG")
    return stream.getvalue()


def _requests(server, image):
    host = f"Host: 127.0.0.1:{server.server_port}\r\n".encode()
    upload = b"Content-Length: %d\r\n\r\n" % len(image)
    return (
        b"GET / HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /model HTTP/1.1\r\n" + host + b"Accept: */*\r\n\r\n",
        b"POST /predict HTTP/1.1\r\n" + host + upload + image,
        b"POST /predict HTTP/1.1\r\n" + host + b"Expect: 100-continue\r\n" + upload + image,
    )


def _odd(rng, request):
    """The request with another target, or with a header of another value."""
    head, end, body = request.partition(b"\r\n\r\n")
    if rng.integers(3) == 0:
        method, _, version = head.split(b" ", 2)
        head = b" ".join([method, ODD_TARGETS[int(rng.integers(len(ODD_TARGETS)))].encode("latin-1"), version])
    else:
        name, value = NAMES[int(rng.integers(len(NAMES)))], ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
        head = re.sub(rb"\r\n%s: [^\r]*" % name.encode(), b"", head) if rng.integers(2) else head
        head += f"\r\n{name}: {value}".encode("latin-1")
    return head + end + body


def _answer(server, request):
    """What comes back, and an end of the connection in any case."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as connection:
        found = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                found += part
        except ConnectionError:  # it was closed before all was sent
            pass
        return found


def test_every_request_is_answered_and_the_server_lives(fuzz, image, capsys):
    with serving() as server:
        intact = _requests(server, image)
        for request in intact:
            assert b" 200 " in _answer(server, request)

        def one(rng):
            request = intact[int(rng.integers(len(intact)))]
            request = (_odd if rng.integers(2) else mutated_bytes)(rng, request)
            statuses = {int(status) for status in STATUS.findall(_answer(server, request)[:200])} - {100}
            if not statuses:
                assert not request.partition(b"\n")[0].strip()
                return "nothing was asked"
            assert all(400 <= status < 500 or status in (200, 501, 505) for status in statuses)
            return "served" if 200 in statuses else "refused"

        fuzz("HTTP", one)
        assert b" 200 " in _answer(server, intact[2])
    assert capsys.readouterr().err == ""
