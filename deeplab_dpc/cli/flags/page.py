"""The flags of the web page of deeplab-dpc predict."""

import dataclasses
from typing import ClassVar

from deeplab_dpc.cli.flags.base import FlagGroup, flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageFlags(FlagGroup):
    """The flag --serve, and the flags of the page's address and limits."""

    TITLE: ClassVar[str] = "Web page"

    serve: bool = flag(False, "Serve a web page to drop images on, instead of predicting --images.")
    host: str = flag("127.0.0.1", "Address of --serve; the default is reachable only from this machine.")
    allowed_hosts: tuple[str, ...] = flag(
        (),
        "Host names that browsers may use for the page, in addition to the names and addresses of this "
        "machine; requests with any other name are refused, since they can be an attack by another web "
        "site.",
    )
    port: int = flag(8080, "Port of --serve; 0 for any free port.")
    max_upload_mb: int = flag(20, "Largest file that --serve accepts, in megabytes.")
    max_image_pixels: int = flag(
        4_000_000, "Largest image that --serve accepts, in pixels; the memory of a prediction grows with it."
    )
