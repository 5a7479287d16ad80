"""The two search algorithms, and which flags of deeplab-dpc search apply to only one of them."""

import dataclasses
from collections.abc import Collection

from deeplab_dpc.cli.flags.shared import network_fields
from deeplab_dpc.config import AutoDeepLabConfig, FidelityConfig, SearchConfig, ServiceConfig
from deeplab_dpc.errors import UserError

DPC, AUTO_DEEPLAB = ALGORITHMS = ("dpc", "auto_deeplab")
OTHER_DPC_FLAGS = (
    "mode",
    "dense_prediction_cell_json",
    "genotype_json",
    "cells",
    "feature_cache",
    "feature_views",
    "tf_initial_checkpoint",
    "restore_moving_averages",
)


def _fields(*configs: type) -> set[str]:
    return {field.name for config in configs for field in dataclasses.fields(config)}


_OF_DPC = _fields(SearchConfig, ServiceConfig, FidelityConfig) | {*network_fields(), *OTHER_DPC_FLAGS}
_OF_AUTO_DEEPLAB = _fields(AutoDeepLabConfig)
FLAGS = {DPC: _OF_DPC - _OF_AUTO_DEEPLAB, AUTO_DEEPLAB: _OF_AUTO_DEEPLAB - _OF_DPC}  # flags of one algorithm only


def refuse_flags_of_others(algorithm: str, given: Collection[str]) -> None:
    """Raises a UserError if a flag is given that does not apply to the algorithm."""
    for other in ALGORITHMS:
        theirs = sorted(FLAGS[other].intersection(given))
        if other != algorithm and theirs:
            raise UserError(
                f"--{theirs[0]} has no meaning for --algorithm={algorithm}, it is for --algorithm={other}; leave "
                "it out."
            )
