"""The server of the web page.

It answers only three requests: the page (GET /), the description of the model on the page (GET /model) and the
prediction of an uploaded image (POST /predict). No requested path reaches the file system: the page is read once, at
the start, and nothing is written. Requests that another web site could have caused are refused: those with a Host other
than this server's (DNS rebinding), or an Origin other than the page.
"""

import base64
import contextlib
import hashlib
import importlib.resources
import json
import re
import socket
import socketserver
import sys
from collections.abc import Sequence
from typing import Any

from deeplab_dpc.errors import UserError
from deeplab_dpc.models.image_predictor import ImagePredictor
from deeplab_dpc.serving.connections import Connections
from deeplab_dpc.serving.image_queue import DECODE_SECONDS, MAX_WAITING, ImageQueue, ServedModel
from deeplab_dpc.serving.own_hosts import OwnHosts, bracketed, is_loopback
from deeplab_dpc.serving.page_handler import JSON, PageHandler, ServedPage

MAX_CONNECTIONS = 32
MAX_UPLOADS = 8  # number of uploads of the largest size that fit into the memory for uploads
HEADER_SECONDS = 10  # for all headers of a request
CLOSE_SECONDS = 2  # for the current image, when the server ends
HTML = "text/html; charset=utf-8"


class PageServer(ServedPage):
    """The server of the page, until it is closed.

    Args:
      host: name or address to which the server is bound.
      port: port to which the server is bound; 0 for any free port.
      predictor: predictor of the network.
      model: description of the model on the page.
      max_upload_bytes: largest number of bytes of an encoded image.
      max_image_pixels: largest number of pixels of a decoded image.
      allowed_hosts: additional host names of the server.
      header_seconds: largest number of seconds for all headers of a request.
      decode_seconds: largest number of seconds for decoding an image.

    Raises:
      UserError: if the server cannot be bound to that host and port, or an allowed host is invalid.
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
        allowed_hosts: Sequence[str] = (),
        header_seconds: float = HEADER_SECONDS,
        decode_seconds: float = DECODE_SECONDS,
    ) -> None:
        self.max_upload_bytes = max_upload_bytes
        self.header_seconds = header_seconds
        self.queue = ImageQueue(predictor, len(model.class_names), max_image_pixels, MAX_WAITING, decode_seconds)
        self.connections = Connections(MAX_CONNECTIONS, MAX_UPLOADS * max_upload_bytes)
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
            super().__init__(address[:2], PageHandler)  # type: ignore[arg-type]  # of either family
        except PermissionError as error:
            raise UserError(f"--port={port} needs the rights of an administrator; take one from 1024 on.") from error
        except socket.gaierror as error:
            raise UserError(
                f"--host={host} is not an address that is known here; --host=127.0.0.1 is this machine."
            ) from error
        except OSError as error:
            raise UserError(
                f"The page cannot be served at --host={host} --port={port}: {error.strerror}; give another, or "
                "--port=0 for any free one."
            ) from error
        self.url = f"http://{bracketed(str(self.server_address[0]))}:{self.server_port}/"
        try:
            self.own_hosts = OwnHosts(host, str(self.server_address[0]), allowed_hosts)
        except UserError:
            self.server_close()
            raise

    @property
    def is_local(self) -> bool:
        """Returns whether only this machine can reach the page."""
        return is_loopback(str(self.server_address[0]))

    def close(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Stops listening, gives up the waiting images, and waits for the image that is being predicted.

        Args:
          seconds: largest number of seconds to wait.

        Returns:
          Whether that image was answered, so that no work is left.
        """
        self.server_close()
        self.queue.close()
        is_done = self.connections.end_all(seconds)
        self.queue.end()
        return is_done

    def server_bind(self) -> None:
        """Binds without looking up the host name on the network, as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Returns whether another connection is admitted."""
        return self.connections.admit(request, str(client_address[0]))

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        super().shutdown_request(request)
        self.connections.remove(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints the error, and sends the client an answer without details."""
        if isinstance(sys.exception(), ConnectionError | TimeoutError):
            return  # the client has disconnected
        super().handle_error(request, client_address)
        with contextlib.suppress(OSError):
            body = json.dumps({"error": "The server failed on this image; its terminal shows why."})
            request.sendall(
                f"HTTP/1.1 500 Internal Server Error\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
                f"Connection: close\r\n\r\n{body}".encode()
            )


def _content_policy(page: str) -> str:
    """Returns the policy that allows only the page's own style and script, requests to this server, and pictures made
    in the page.
    """
    hashes = {}
    for tag in ("style", "script"):
        parts = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts]
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; style-src {hashes['style']}; script-src {hashes['script']}; connect-src 'self'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
