"""Named cells that ship with the package, and cells from files.

`dpc_top1` is the published cell (arXiv:1809.04184, Fig. 5), `aspp` DeepLabv3's atrous spatial pyramid pooling
(arXiv:1706.05587, Fig. 5), `psp` PSPNet's pyramid pooling (arXiv:1612.01105, Fig. 3), where a 1x1 convolution stands
for the features that PSPNet concatenates, and `conv1x1` a single 1x1 convolution.
"""

import importlib.resources
import json
import os

from deeplab_dpc import files
from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.errors import UserError


def shipped_cells() -> dict[str, Cell]:
    """The cells of the package by name, in the names' order."""
    folder = importlib.resources.files("deeplab_dpc") / "cells"
    resources = {item.name.removesuffix(".json"): item for item in folder.iterdir() if item.name.endswith(".json")}
    return {name: Cell.from_json(json.loads(resources[name].read_text(encoding="utf-8"))) for name in sorted(resources)}


def load_cell(name_or_path: str | os.PathLike[str]) -> Cell:
    """The shipped cell of this name, or else the cell in the JSON file at this path.

    Raises:
      UserError: if there is neither, or if the file holds no valid cell.
    """
    shipped = shipped_cells()
    name = os.fspath(name_or_path)
    if name in shipped:
        return shipped[name]
    if not os.path.exists(name):
        raise UserError(f"{name!r} is neither a cell file nor a cell that ships ({', '.join(shipped)}).")
    value = files.read_json(name, "cell file")
    try:
        return Cell.from_json(value)
    except UserError as error:
        raise UserError(f"The cell file {name} is not valid: {error}") from error
