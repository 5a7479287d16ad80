"""The server of the web page.

It answers three requests and no other: the page (GET /), what the page shows of the model (GET /model) and the
prediction of an uploaded image (POST /predict). No path that is asked for reaches the file system: the page is read
once, at the start, and nothing is written. What is asked for is refused where another web site could be behind it:
a Host that is not this server's (DNS rebinding), or an Origin other than the page.
"""

import base64
import contextlib
import hashlib
import http.server
import importlib.resources
import ipaddress
import json
import re
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
from http import HTTPStatus
from typing import Any

from deeplab_dpc.errors import UserError
from deeplab_dpc.models.image_predictor import ImagePredictor
from deeplab_dpc.serving.image_queue import Busy, ImageQueue, ServedModel

MAX_CONNECTIONS = 32
SILENCE_SECONDS = 10  # that a client may send nothing
UPLOAD_SECONDS = 120  # for a whole image
DRAIN_SECONDS = 2  # for the rest of an upload that is refused
CHUNK = 1 << 16  # bytes
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
JSON, HTML = "application/json", "text/html; charset=utf-8"


class _Refusal(Exception):  # noqa: N818 (an answer)
    """A request that is answered by a status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class PageServer(http.server.ThreadingHTTPServer):
    """Serves the page until it is closed.

    Attributes:
      url: of the page.

    Args:
      host: name or address to be bound to.
      port: to be bound to, 0 for any free one.
      predictor: what predicts.
      model: what the page shows of it.
      max_upload_bytes: of an encoded image.
      max_image_pixels: of a decoded image.

    Raises:
      UserError: if the server cannot be bound to that host and port.
    """

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self,
        host: str,
        port: int,
        predictor: ImagePredictor,
        model: ServedModel,
        max_upload_bytes: int,
        max_image_pixels: int,
    ) -> None:
        self.max_upload_bytes = max_upload_bytes
        self.queue = ImageQueue(predictor, len(model.class_names), max_image_pixels)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        page = (importlib.resources.files(__package__) / "page.html").read_text(encoding="utf-8")
        shown = {
            "name": model.name,
            "classes": [
                {"name": name, "color": color} for name, color in zip(model.class_names, model.palette, strict=True)
            ],
            "max_upload_bytes": max_upload_bytes,
            "max_image_pixels": max_image_pixels,
        }
        self.documents = {"/": (HTML, page.encode()), "/model": (JSON, json.dumps(shown).encode())}
        self.headers = {
            "Content-Security-Policy": _content_policy(page),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
            "Connection": "close",
        }
        try:
            self.address_family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__(address[:2], _Handler)  # type: ignore[arg-type]  # of either family
        except PermissionError as error:
            raise UserError(f"--port={port} needs the rights of an administrator; take one from 1024 on.") from error
        except socket.gaierror as error:
            raise UserError(
                f"--host={host} is no address that is known here; --host=127.0.0.1 is this machine."
            ) from error
        except OSError as error:
            raise UserError(
                f"The page cannot be served at --host={host} --port={port}: {error.strerror}; give another, or "
                "--port=0 for any free one."
            ) from error
        self.url = f"http://{_bracketed(str(self.server_address[0]))}:{self.server_port}/"

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(str(self.server_address[0])).is_loopback

    def is_own_host(self, host: str) -> bool:
        """Whether a request may be for that Host: of a server of this machine any of its names.

        The port may be another, that of a tunnel to it; what counts is that no foreign name leads here.
        """
        names = {*LOCAL_NAMES, _bracketed(str(self.server_address[0]))}
        return not self.is_local or re.sub(":[0-9]+$", "", host.lower()) in names

    def close(self) -> None:
        """Stops listening, and waits for the image that is being predicted."""
        self.server_close()
        self.queue.close()

    def server_bind(self) -> None:
        """Binds, without asking for the host's name on the network as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether one more connection may be open."""
        return self._connections.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints what went wrong here, and tells the client only that something did."""
        if isinstance(sys.exception(), ConnectionError | TimeoutError):
            return  # the client went away
        super().handle_error(request, client_address)
        with contextlib.suppress(OSError):
            body = json.dumps({"error": "The server failed on this image; its terminal shows why."})
            request.sendall(
                f"HTTP/1.1 500 Internal Server Error\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
                f"Connection: close\r\n\r\n{body}".encode()
            )


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request of one connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_SECONDS

    def do_GET(self) -> None:
        """Sends a document; of a HEAD request its headers."""
        try:
            self._check_host()
            if self.path not in self.server.documents:
                raise _Refusal(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
        except _Refusal as refusal:
            return self._refuse(refusal)
        self._send(HTTPStatus.OK, *self.server.documents[self.path])

    do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)

    def do_POST(self) -> None:
        """Answers an image by its prediction."""
        try:
            self._check_host()
            self._check_origin()
            if self.path != "/predict":
                raise _Refusal(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
            length = self._content_length()
            with self.server.queue.place():
                answer = self.server.queue.predict(self._read(length))
        except _Refusal as refusal:
            return self._refuse(refusal)
        except Busy:
            return self._refuse(
                _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Other images are waiting already; try again in a moment.")
            )
        except UserError as error:
            return self._refuse(_Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)))
        self._send(HTTPStatus.OK, JSON, json.dumps(answer).encode())

    def _check_host(self) -> None:
        if not self.server.is_own_host(self.headers.get("Host", "")):
            raise _Refusal(HTTPStatus.FORBIDDEN, f"This page is at {self.server.url} only.")

    def _check_origin(self) -> None:
        origin = self.headers.get("Origin")
        foreign = origin is not None and urllib.parse.urlsplit(origin).netloc != self.headers.get("Host")
        if foreign or self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise _Refusal(HTTPStatus.FORBIDDEN, "Other web sites may not send images here.")

    def _content_length(self) -> int:
        given = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or re.fullmatch("[0-9]{1,15}", given) is None:
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "An upload must say its Content-Length.")
        limit = self.server.max_upload_bytes
        if int(given) > limit:
            raise _Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The file has {int(given) / 1e6:.1f} MB, and this server takes {limit / 1e6:.1f} MB; reduce it.",
            )
        return int(given)

    def _read(self, length: int) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        deadline = time.monotonic() + UPLOAD_SECONDS
        content = bytearray()
        try:
            while len(content) < length:
                chunk = self.rfile.read1(min(CHUNK, length - len(content)))
                if not chunk or time.monotonic() > deadline:
                    raise TimeoutError
                content += chunk
        except TimeoutError as error:
            sentence = f"The upload ended after {len(content)} of {length} bytes; try again."
            raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, sentence) from error
        return bytes(content)

    def _refuse(self, refusal: _Refusal) -> None:
        """Answers by an error, and reads on for a moment: a connection closed while a client sends loses the answer."""
        self._send(refusal.status, JSON, json.dumps({"error": str(refusal)}).encode())
        deadline = time.monotonic() + DRAIN_SECONDS
        self.connection.settimeout(DRAIN_SECONDS)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(CHUNK) and time.monotonic() < deadline:
                pass

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Leaves it to _read to ask for the upload, after the checks."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no request for a document or a prediction, such as an unknown method."""
        sentence = HTTPStatus(code).description or HTTPStatus(code).phrase
        self._send(HTTPStatus(code), JSON, json.dumps({"error": f"{sentence}."}).encode())

    def version_string(self) -> str:
        """What the Server header says: no versions."""
        return "deeplab_dpc"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed per request."""


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _content_policy(page: str) -> str:
    """Allows the page its own style and script, requests to this server and pictures made in it; nothing else."""
    hashes = {}
    for tag in ("style", "script"):
        parts = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts]
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; style-src {hashes['style']}; script-src {hashes['script']}; connect-src 'self'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
