"""Flags of the web page of predict.py."""

from absl import flags

from deeplab_dpc.cli.flag_help import concerning


def define_page_flags(values: flags.FlagValues) -> None:
    """Defines --serve, and the flags of its address and its limits."""
    with concerning(values, "Web page"):
        flags.DEFINE_bool(
            "serve", False, "Serve a web page to drop images on, instead of predicting --images.", flag_values=values
        )
        flags.DEFINE_string(
            "host", "127.0.0.1", "Address of --serve; the default is this machine only.", flag_values=values
        )
        flags.DEFINE_list(
            "allowed_hosts",
            [],
            "Host names that browsers may use for the page, in addition to this machine's own and its "
            "addresses; requests with any other name are refused, since they can be an attack by another web "
            "site.",
            flag_values=values,
        )
        flags.DEFINE_integer("port", 8080, "Port of --serve; 0 for any free one.", flag_values=values)
        flags.DEFINE_integer("max_upload_mb", 20, "Largest file that --serve takes, in megabytes.", flag_values=values)
        flags.DEFINE_integer(
            "max_image_pixels",
            4_000_000,
            "Largest image that --serve takes, in pixels: the memory of a prediction grows with it.",
            flag_values=values,
        )
