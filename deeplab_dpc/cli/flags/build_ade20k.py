"""Converts ADE20K (SceneParsing, 150 classes) to records, from its folder or ADEChallengeData2016.zip."""

import dataclasses

from deeplab_dpc.cli.flags.base import flag
from deeplab_dpc.cli.flags.shared import BuildFlags
from deeplab_dpc.datasets.official import ADE20K_ARCHIVE, ADE20K_PAGE, ADE20K_PAPER_MAX_SIDE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(BuildFlags):
    """The flags of deeplab-dpc build-ade20k."""

    ade20k_root: str | None = flag(None, f"{ADE20K_ARCHIVE} from {ADE20K_PAGE}, or the folder unpacked from it.")
    max_side: int = flag(
        0,
        "Length in pixels to which the longer side of all images of train is resized; 0 keeps their "
        f"size. Images of val always keep their size. Auto-DeepLab uses {ADE20K_PAPER_MAX_SIDE}.",
    )
