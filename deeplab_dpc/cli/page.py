"""The web page of deeplab-dpc predict, served until it is stopped."""

import contextlib
import os
import pathlib
import signal
import sys

from deeplab_dpc.api.loaded_predictor import LoadedPredictor
from deeplab_dpc.cli.flags.predict import Flags
from deeplab_dpc.cli.flags.shared import PredictorFlags
from deeplab_dpc.cli.main import SIGNALLED
from deeplab_dpc.cli.model_source import run_directories
from deeplab_dpc.console import console
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.serving.image_queue import ServedModel
from deeplab_dpc.serving.page_server import PageServer


def serve(flags: Flags, loaded: LoadedPredictor) -> None:
    """Serves the page of a predictor until Ctrl-C or SIGTERM.

    Raises:
      UserError: for an invalid limit, flags that a page does not use, or if the server cannot be bound to --host and
        --port.
    """
    for name in ("images", "data_dir", "output_dir"):
        if name in flags.given:
            raise UserError(f"--serve predicts what is dropped on its page and writes no file; leave out --{name}.")
    page = flags.page
    for name in ("max_upload_mb", "max_image_pixels"):
        if (limit := getattr(page, name)) < 1:
            raise UserError(f"--{name} must be at least 1, got {limit}.")
    if not 0 <= page.port <= 65535:
        raise UserError(f"--port must be in 0..65535, got {page.port}.")
    server = PageServer(
        page.host,
        page.port,
        loaded.predictor,
        ServedModel(model_name(flags.predictor, loaded), loaded.class_names, loaded.palette),
        max_upload_bytes=page.max_upload_mb * 1_000_000,
        max_image_pixels=page.max_image_pixels,
        allowed_hosts=[name for name in page.allowed_hosts if name],
    )
    console.print(f"The page is at {server.url} until Ctrl-C.")
    if not server.is_local:
        console.print(
            f"Warning: --host={page.host} is not only this machine; anyone who reaches that address can use it."
        )
    _serve_until_a_signal(server)


def _serve_until_a_signal(server: PageServer) -> None:
    """Serves until Ctrl-C, or SIGTERM, which raises Stopped; one more signal ends the process at once."""
    received: list[signal.Signals] = []

    def stop(number: int, frame: object) -> None:
        if received:
            os._exit(SIGNALLED + number)
        received.append(signal.Signals(number))
        raise KeyboardInterrupt  # which ends the server's loop

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
        is_done = server.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    reason = received[0] if received else signal.SIGINT
    stopped = Stopped(reason, "every image was predicted" if is_done else "the current image was given up")
    if not is_done:
        _leave(f"\npredict: {stopped}", SIGNALLED + reason)
    if reason != signal.SIGINT:
        raise stopped
    console.print("\nStopped.")


def _leave(sentence: str, status: int) -> None:
    """Exits the process while a thread runs in a library, where a regular exit of the interpreter would crash."""
    print(sentence, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def model_name(flags: PredictorFlags, loaded: LoadedPredictor) -> str:
    """Returns the model's name on the page: the name of its directory or file, without the path, and its backbone."""
    given = flags.source.workdir or flags.source.checkpoint_path or flags.exported_model
    assert given is not None
    paths = [given] if flags.source.workdir is None else run_directories(flags.source)
    name = ", ".join(pathlib.Path(path).resolve().name for path in paths)
    return name if loaded.network is None else f"{name} ({loaded.network.config.model_variant})"
