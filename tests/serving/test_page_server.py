import base64
import concurrent.futures
import contextlib
import http.client
import io
import json
import re
import socket
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from small_server import MAX_UPLOAD_BYTES, MODEL, BrightPixels, serving

from deeplab_dpc.errors import UserError
from deeplab_dpc.serving import connections as connections_of_page
from deeplab_dpc.serving.connections import Connections
from deeplab_dpc.serving.image_queue import MAX_WAITING
from deeplab_dpc.serving.page_server import MAX_CONNECTIONS, MAX_UPLOADS, PageServer

RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def _request(server, method="GET", path="/", body=None, headers=None):
    """The status, the headers and the content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def _refused(server, method="POST", path="/predict", body=b"", headers=None):
    """The status and the sentence of an error."""
    status, _, content = _request(server, method, path, body, headers)
    return status, json.loads(content)["error"]


def _open(server, text=""):
    """A connection that has sent this."""
    connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=30)
    connection.sendall(text.format(host=f"127.0.0.1:{server.server_port}").encode())
    return connection


def _answer(connection):
    """What the server sends back until it closes."""
    return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def _raw(server, text, ended=False):
    """What the server sends back to these bytes; `ended`: nothing can follow them."""
    with _open(server, text) as connection:
        if ended:
            connection.shutdown(socket.SHUT_WR)
        return _answer(connection)


def _encoded(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(stream, **{"format": "PNG", **options})
    return stream.getvalue()


IMAGE = _encoded([[RED, RED, BLUE], [BLACK, RED, BLACK]])


def test_page_is_whole_in_itself_and_only_its_own_script_may_run(server):
    status, headers, content = _request(server)
    page = content.decode()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert set(re.findall(r"https?://[^'\"` )]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "deeplab_dpc"
    assert "Access-Control-Allow-Origin" not in headers


def test_head_has_the_headers_of_get_and_no_content(server):
    answer = _raw(server, "HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert f"\r\nContent-Length: {len(_request(server)[2])}\r\n" in answer
    assert answer.endswith("\r\n\r\n")


def test_model_tells_names_colours_and_limits(server):
    assert json.loads(_request(server, path="/model")[2]) == {
        "name": "tiny",
        "classes": [
            {"name": "ground", "color": [0, 0, 0]},
            {"name": "disk <b>", "color": [200, 0, 0]},
            {"name": "ring", "color": [0, 0, 200]},
        ],
        "max_upload_bytes": 100_000,
        "max_image_pixels": 10_000,
    }


def test_prediction_holds_every_pixel_and_their_numbers(server):
    status, _, content = _request(server, "POST", "/predict", IMAGE)
    answer = json.loads(content)
    assert status == 200
    assert (answer["height"], answer["width"], answer["pixels"]) == (2, 3, [2, 3, 1])
    assert zlib.decompress(base64.b64decode(answer["class_ids"])) == bytes([1, 1, 2, 0, 1, 0])
    png = Image.open(io.BytesIO(base64.b64decode(answer["class_ids_png"])))
    assert png.mode == "L"
    np.testing.assert_array_equal(png, [[1, 1, 2], [0, 1, 0]])


def test_orientation_of_a_photograph_is_that_of_its_prediction(server):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    answer = json.loads(_request(server, "POST", "/predict", _encoded([[BLACK, RED]], exif=exif))[2])
    assert (answer["height"], answer["width"], answer["pixels"]) == (2, 1, [1, 1, 0])
    assert zlib.decompress(base64.b64decode(answer["class_ids"])) == bytes([0, 1])


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page.html", "/./", "/predict", "/?", "*"]
    + ["/\\..\\page.html"],
)
def test_nothing_is_at_other_paths(server, path):
    assert _refused(server, "GET", path) == (404, "There is nothing at this address.")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/", 404), ("PUT", "/", 501), ("OPTIONS", "/predict", 501)]
)
def test_other_methods_do_nothing(server, method, path, status):
    found, headers, content = _request(server, method, path, IMAGE)
    assert (found, list(json.loads(content))) == (status, ["error"])
    assert "Access-Control-Allow-Origin" not in headers


def test_upload_that_is_too_large_is_refused_by_its_length(server):
    sentence = "The file has 100.0 MB, and this server takes 0.1 MB; reduce it."
    assert _refused(server, headers={"Content-Length": "100000000"}) == (413, sentence)


def test_client_that_sends_an_upload_too_large_sees_why(server):
    assert _refused(server, body=bytes(50 * MAX_UPLOAD_BYTES))[0] == 413


def test_upload_too_large_is_not_asked_for(server):
    head = "POST /predict HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: "
    assert _raw(server, f"{head}900000\r\n\r\n").startswith("HTTP/1.1 413 ")
    assert _raw(server, f"{head}2\r\n\r\nno").startswith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 ")


@pytest.mark.parametrize(
    "header",
    ["", "Content-Length: -5\r\n", "Content-Length: 1e3\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"],
)
def test_upload_says_its_length(server, header):
    answer = _raw(server, "POST /predict HTTP/1.1\r\nHost: {host}\r\n" + header + "\r\n")
    assert answer.startswith("HTTP/1.1 411 ")


def test_upload_that_ends_early_is_told(server):
    answer = _raw(server, "POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nabc", ended=True)
    assert answer.startswith("HTTP/1.1 408 ")
    assert "The upload ended after 3 of 9 bytes; try again." in answer


def _png_of_size(width, height):
    """A PNG file that says this size, with few data."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(9)))
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "it is empty"),
        (b"#!/bin/sh\nexit", "it is none of JPEG, PNG, BMP, WEBP"),
        (_encoded([[RED]], format="TIFF"), "it is none of JPEG, PNG, BMP, WEBP"),
        (_encoded([[RED]], format="GIF"), "it is none of JPEG, PNG, BMP, WEBP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is none of JPEG, PNG, BMP, WEBP"),
        (IMAGE[:-30], "cannot be read as an image"),
        (_encoded(np.zeros((101, 100, 3))), "has 101 x 100 pixels, more than 10,000"),
        (_png_of_size(100_000, 100_000), "more than 10,000"),
        (_encoded(np.zeros((14, 3, 3))), "is 14 pixels high"),
    ],
    ids=["empty", "script", "tiff", "gif", "postscript", "cut off", "too many pixels", "bomb", "does not fit"],
)
def test_only_images_that_fit_are_predicted(server, body, sentence):
    status, found = _refused(server, body=body)
    assert status == 422
    assert found.startswith("The image ")
    assert sentence in found
    assert "0x" not in found


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost.evil.example", "::1", "127.0.0.1:x", ""]
)
def test_other_names_of_this_address_are_refused(server, host):
    headers = {"Host": host.format(port=server.server_port)}
    sentence = f"This page is at http://127.0.0.1:{server.server_port}/, and not known as "
    for request in ({"method": "GET", "path": "/model"}, {"body": IMAGE}):
        status, found = _refused(server, **request, headers=headers)
        assert status == 403
        assert found.startswith(sentence)
        assert found.endswith("start deeplab-dpc predict with --allowed_hosts and that name.")


@pytest.mark.parametrize("host", ["LOCALHOST:{port}", "127.0.0.1", "[::1]:{port}", "localhost:9000"])
def test_names_of_this_machine_are_its_own_also_at_the_port_of_a_tunnel(server, host):
    assert _request(server, headers={"Host": host.format(port=server.server_port)})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://127.0.0.1:1"}]
    + [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_other_sites_may_send_no_image(server, headers):
    assert _refused(server, body=IMAGE, headers=headers) == (403, "Other web sites may not send images here.")


@pytest.mark.parametrize("header", ["Host: evil.example", "Host: {host}", "Origin: http://a\r\nOrigin: http://{host}"])
def test_headers_that_decide_occur_once(server, header):
    for request in ("GET / HTTP/1.1", "POST /predict HTTP/1.1\r\nContent-Length: 0"):
        answer = _raw(server, f"{request}\r\nHost: {{host}}\r\n{header}\r\n\r\n")
        assert answer.startswith("HTTP/1.1 400 ")
        assert "once only" in answer


def test_the_page_itself_may_send_images(server):
    headers = {"Origin": f"http://127.0.0.1:{server.server_port}", "Sec-Fetch-Site": "same-origin"}
    assert _request(server, "POST", "/predict", IMAGE, headers)[0] == 200


def test_exhausted_memory_is_a_sentence():
    class TooSmall(BrightPixels):
        def predict_batch(self, images):
            raise MemoryError

    with serving(predictor=TooSmall()) as server:
        assert _refused(server, body=IMAGE) == (422, "The image needs more memory than there is; reduce it.")


def test_failure_is_explained_here_and_not_to_the_client(server, capsys):
    answer = _refused(server, body=_encoded(np.zeros((13, 13, 3))))
    assert answer == (500, "The server failed on this image; its terminal shows why.")
    assert "secret detail" in capsys.readouterr().err
    assert _request(server, "POST", "/predict", IMAGE)[0] == 200


def test_images_at_once_are_predicted_one_by_one():
    predictor = BrightPixels()
    widths = [2, 3, 4, 5, 6][: 1 + MAX_WAITING]
    with serving(predictor=predictor) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        bodies = [_encoded(np.zeros((2, width, 3))) for width in widths]
        answers = list(pool.map(lambda body: json.loads(_request(server, "POST", "/predict", body)[2]), bodies))
    assert [answer["width"] for answer in answers] == widths
    assert predictor.at_once == 1


def test_closing_waits_for_the_image_under_way():
    predictor = BrightPixels(seconds=0.2)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with serving(predictor=predictor) as server:
            answer = pool.submit(_request, server, "POST", "/predict", IMAGE)
            while not predictor.under_way:
                time.sleep(0.001)
        assert predictor.under_way == 0
        assert answer.result()[0] == 200


def test_no_more_images_wait_than_may(server):
    with contextlib.ExitStack() as places:
        for _ in range(1 + MAX_WAITING):
            places.enter_context(server.queue.place())
        assert _refused(server, body=IMAGE) == (503, "Other images are waiting already; try again in a moment.")
    assert _request(server, "POST", "/predict", IMAGE)[0] == 200


def test_slow_headers_keep_nobody_waiting(server):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(_open(server, "GET / HTTP/1.1\r\nHost: ")) for _ in range(MAX_CONNECTIONS)]
        assert _request(server)[0] == 200
        assert _answer(slow[0]) == ""  # the oldest gave way
        slow[-1].sendall(f"127.0.0.1:{server.server_port}\r\n\r\n".encode())
        assert _answer(slow[-1]).startswith("HTTP/1.1 200 OK")


def test_headers_have_a_deadline_however_they_trickle():
    with serving(header_seconds=0.3) as server, _open(server, "GET / HTTP/1.1\r\n") as connection:
        connection.settimeout(0.05)
        found = None
        while found is None:
            with contextlib.suppress(TimeoutError, ConnectionError):
                connection.sendall(b"a")
                found = connection.recv(1)
        assert found == b""


def test_slow_uploads_give_way_to_one_that_is_there(server):
    head = f"POST /predict HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: {MAX_UPLOAD_BYTES}\r\n\r\nabc"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(_open(server, head)) for _ in range(MAX_UPLOADS)]
        while sum(connection.upload for connection in server.connections) < MAX_UPLOADS * MAX_UPLOAD_BYTES:
            time.sleep(0.001)
        assert _request(server, "POST", "/predict", IMAGE)[0] == 200
        answers = [_answer(connection) for connection in slow[:1]]
    assert answers[0].startswith("HTTP/1.1 503 ")
    assert "was ended for them; try again in a moment." in answers[0]


def test_client_that_does_not_take_its_answer_gives_way():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connections = Connections(1, 100)
        assert connections.admit(ours, "slow")
        connections[ours].answering = True
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(ours.sendall, bytes(10_000_000))
            assert connections.admit(theirs, "new")
            with pytest.raises(ConnectionError):
                answer.result()


def test_client_with_most_connections_gives_way():
    ours, theirs = zip(*(socket.socketpair() for _ in range(4)), strict=True)
    connections = Connections(3, 100)
    assert all(connections.admit(*pair) for pair in zip(ours, ("few", "many", "many"), strict=False))
    assert connections.admit(ours[3], "new")
    assert [connections[one].ended for one in ours] == [False, True, False, False]
    assert connections.keep(connections[ours[0]], 80)
    with connections.working(connections[ours[0]]):
        assert not connections.keep(connections[ours[2]], 21)  # the other does not wait for its client
        assert connections.keep(connections[ours[2]], 20)
    for one in (*ours, *theirs):
        one.close()


def test_image_of_a_client_that_has_gone_is_not_predicted(monkeypatch):
    monkeypatch.setattr(connections_of_page, "GONE_SECONDS", 0)
    hold = threading.Event()
    predictor = BrightPixels(hold=hold)
    with serving(predictor=predictor) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(_request, server, "POST", "/predict", IMAGE)
        while not predictor.under_way:
            time.sleep(0.001)
        head = f"POST /predict HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: {len(IMAGE)}\r\n\r\n"
        with _open(server, head) as connection:
            connection.sendall(IMAGE)
            while sum(connection.working for connection in server.connections) < 2:
                time.sleep(0.001)
        while len(list(server.connections)) > 1:
            time.sleep(0.001)
        hold.set()
        assert first.result()[0] == 200
    assert predictor.predicted == 1


def test_closing_turns_away_who_waits_and_gives_up_what_takes_long():
    hold = threading.Event()
    predictor = BrightPixels(hold=hold)
    with serving(predictor=predictor) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(_request, server, "POST", "/predict", IMAGE)
        while not predictor.under_way:
            time.sleep(0.001)
        second = pool.submit(_request, server, "POST", "/predict", IMAGE)
        while sum(connection.working for connection in server.connections) < 2:
            time.sleep(0.001)
        assert not server.close(seconds=0)
        hold.set()
        assert (first.result()[0], second.result()[0]) == (200, 503)


@pytest.mark.parametrize("target", ["http://[::1", "http://[", "http://127.0.0.1:x/", "http://evil.example/%ff"])
def test_malformed_addresses_are_nowhere(server, target, capsys):
    assert _raw(server, f"GET {target} HTTP/1.1\r\nHost: {{host}}\r\n\r\n").startswith("HTTP/1.1 404 ")
    assert _refused(server, body=IMAGE, headers={"Origin": target})[0] == 403
    assert capsys.readouterr().err == ""


def test_address_that_is_not_local_has_names_too():
    port = {"Host": "my-machine.example:1"}
    with serving("0.0.0.0", allowed_hosts=["My-Machine.example"]) as server:
        assert not server.is_local
        for host in ("127.0.0.1", "localhost:9", socket.gethostname(), port["Host"], "my-machine.example."):
            assert _request(server, headers={"Host": host})[0] == 200
        for host in ("evil.example", "10.255.0.1", "my-machine.example.evil.example", "<b>"):
            assert _refused(server, "GET", "/model", headers={"Host": host})[0] == 403
        assert _refused(server, body=IMAGE, headers={"Origin": "http://evil.example"})[0] == 403
        assert _request(server, "POST", "/predict", IMAGE, port | {"Origin": "https://my-machine.example:1"})[0] == 200


def test_allowed_host_is_a_name(server):
    with pytest.raises(UserError, match="--allowed_hosts=http://a/b is not a host; give it as a browser shows it"):
        PageServer("127.0.0.1", 0, BrightPixels(), MODEL, 1, 1, ["http://a/b"])


@pytest.mark.parametrize(
    ("host", "message"), [("127.0.0.1", "Address already in use"), ("203.0.113.7", "assign requested")]
)
def test_address_that_cannot_be_bound_is_said(server, host, message):
    with pytest.raises(UserError, match=f"--host={host} --port={server.server_port}: .*{message}"):
        PageServer(host, server.server_port, BrightPixels(), MODEL, 1, 1)
