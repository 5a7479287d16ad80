"""Named cells and genotypes that ship with the package, and those read from files.

`dpc_top1` is the published cell (arXiv:1809.04184, Fig. 5), `aspp` DeepLabv3's atrous spatial pyramid pooling
(arXiv:1706.05587, Fig. 5), `psp` PSPNet's pyramid pooling (arXiv:1612.01105, Fig. 3), where a 1x1 convolution stands
for the features that PSPNet concatenates, and `conv1x1` a single 1x1 convolution. The genotype `auto_deeplab` is the
published one (arXiv:1901.02985, Fig. 3).
"""

import collections
import functools
import importlib.resources
import json
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from deeplab_dpc import files
from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.fitting import aspp_of_name, name_of_aspp
from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.errors import UserError

Architecture = TypeVar("Architecture", Cell, Genotype)


def shipped_cells() -> dict[str, Cell]:
    """Returns the cells of the package by name, sorted by name."""
    return _shipped("cells", Cell.from_json)


def shipped_genotypes() -> dict[str, Genotype]:
    """Returns the genotypes of the package by name, sorted by name."""
    return _shipped("genotypes", Genotype.from_json)


@functools.cache
def published_genotype() -> Genotype:
    """Returns the published genotype of Auto-DeepLab."""
    return shipped_genotypes()["auto_deeplab"]


def load_cell(name_or_path: str | os.PathLike[str]) -> Cell:
    """Returns the shipped cell of this name, or else the cell in the JSON file at this path.

    Example:
        from deeplab_dpc import load_cell

        print(load_cell("dpc_top1").describe())

    Args:
      name_or_path: 'dpc_top1' (the published cell), 'aspp', 'aspp_3_6_9' (ASPP with other rates), 'psp', 'conv1x1', or
        the path of a JSON file as a search writes it.

    Raises:
      UserError: if there is neither, or if the file holds no valid cell.
    """
    aspp = aspp_of_name(os.fspath(name_or_path))
    return _load(name_or_path, "cell", shipped_cells(), Cell.from_json) if aspp is None else aspp


def name_of_cell(cell: Cell) -> str | None:
    """Returns the name under which `load_cell` finds a cell, such as 'psp' or 'aspp_3_6_9'; None if it has none."""
    digest = cell.digest()
    known = next((name for name, shipped in shipped_cells().items() if shipped.digest() == digest), None)
    return known or name_of_aspp(cell)


def load_cells(names: Iterable[str], flag: str) -> list[tuple[str, Cell]]:
    """Returns the cells that a flag lists, each with its name: that of a file is without folder and .json, unless
    another cell has the same name.

    Raises:
      UserError: if one is neither a cell that ships nor a file of a cell; the message names the flag.
    """
    paths = list(names)
    try:
        cells = [load_cell(path) for path in paths]
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error
    stems = [os.path.basename(path).removesuffix(".json") for path in paths]
    taken = collections.Counter(stems) + collections.Counter(set(shipped_cells()) - set(paths))
    return [
        (stem if path.endswith(".json") and taken[stem] == 1 and aspp_of_name(stem) is None else path, cell)
        for path, stem, cell in zip(paths, stems, cells, strict=True)
    ]


def load_genotype(name_or_path: str | os.PathLike[str]) -> Genotype:
    """Returns the shipped genotype of this name, or else the genotype in the JSON file at this path.

    Raises:
      UserError: if there is neither, or if the file holds no valid genotype.
    """
    return _load(name_or_path, "genotype", shipped_genotypes(), Genotype.from_json)


def _shipped(folder: str, from_json: Callable[[Any], Architecture]) -> dict[str, Architecture]:
    path = importlib.resources.files("deeplab_dpc") / folder
    resources = {item.name.removesuffix(".json"): item for item in path.iterdir() if item.name.endswith(".json")}
    return {name: from_json(json.loads(resources[name].read_text(encoding="utf-8"))) for name in sorted(resources)}


def _load(
    name_or_path: str | os.PathLike[str],
    kind: str,
    shipped: dict[str, Architecture],
    from_json: Callable[[Any], Architecture],
) -> Architecture:
    name = os.fspath(name_or_path)
    if name in shipped:
        return shipped[name]
    if not os.path.exists(name):
        raise UserError(f"{name!r} is neither a {kind} file nor a {kind} that ships ({', '.join(shipped)}).")
    value = files.read_json(name, f"{kind} file")
    try:
        return from_json(value)
    except UserError as error:
        raise UserError(f"The {kind} file {name} is not valid: {error}") from error
