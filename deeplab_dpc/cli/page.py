"""The web page of predict.py: its flags, and serving it until Ctrl-C."""

import pathlib

from absl import flags

from deeplab_dpc.cli.predictor_source import LoadedPredictor
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.serving.image_queue import ServedModel
from deeplab_dpc.serving.page_server import PageServer


def define_page_flags(values: flags.FlagValues) -> None:
    """--serve, where, and its limits."""
    flags.DEFINE_bool(
        "serve", False, "Serve a web page to drop images on, instead of predicting --images.", flag_values=values
    )
    flags.DEFINE_string(
        "host", "127.0.0.1", "Address of --serve; the default is this machine only.", flag_values=values
    )
    flags.DEFINE_integer("port", 8080, "Port of --serve; 0 for any free one.", flag_values=values)
    flags.DEFINE_integer("max_upload_mb", 20, "Largest file that --serve takes, in megabytes.", flag_values=values)
    flags.DEFINE_integer(
        "max_image_pixels",
        4_000_000,
        "Largest image that --serve takes, in pixels: the memory of a prediction grows with it.",
        flag_values=values,
    )


def serve(values: flags.FlagValues, loaded: LoadedPredictor) -> None:
    """Serves the page of that predictor until Ctrl-C.

    Raises:
      UserError: for a limit that is none, flags of what a page does not do, or if the server cannot be bound to --host
        and --port.
    """
    for name in ("images", "data_dir", "output_dir"):
        if values[name].value is not None:
            raise UserError(f"--serve predicts what is dropped on its page and writes no file; leave out --{name}.")
    for name in ("max_upload_mb", "max_image_pixels"):
        if (limit := getattr(values, name)) < 1:
            raise UserError(f"--{name} must be at least 1, got {limit}.")
    if not 0 <= values.port <= 65535:
        raise UserError(f"--port must be in 0..65535, got {values.port}.")
    server = PageServer(
        values.host,
        values.port,
        loaded.predictor,
        ServedModel(model_name(values, loaded), loaded.class_names, loaded.palette),
        max_upload_bytes=values.max_upload_mb * 1_000_000,
        max_image_pixels=values.max_image_pixels,
    )
    console.print(f"The page is at {server.url} until Ctrl-C.")
    if not server.is_local:
        console.print(
            f"Warning: --host={values.host} is not this machine alone; anyone who reaches that address can use it."
        )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.print("\nStopped.")
    finally:
        server.close()


def model_name(values: flags.FlagValues, loaded: LoadedPredictor) -> str:
    """What the page calls the model: the name of its directory or file, without the way to it, and its backbone."""
    given = values.workdir or values.checkpoint_path or values.exported_model
    name = pathlib.Path(given).resolve().name
    return name if loaded.network is None else f"{name} ({loaded.network.config.model_variant})"
