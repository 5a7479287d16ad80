"""The parts of a checkpoint that a training restores, and the reasons why other parts start fresh.

Names and shapes determine the options of a network (mismatch.py), but not the rates, grids and inputs of a cell: two
cells with equal shapes are different functions. Whether a training restores the cell of a checkpoint therefore depends
on a description of that cell: the configuration of a run, or the file PREFIX.cell.json that deeplab-dpc export writes
beside a TensorFlow 1 checkpoint. A checkpoint without such a file is assumed to be a published one, whose cell is
`dpc_top1`.
"""

import pathlib

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.checkpoint.mismatch import module_hints
from deeplab_dpc.checkpoint.network_flags import DECODER, HEAD, Shapes, module_of, num_classes, scopes
from deeplab_dpc.checkpoint.published import is_name
from deeplab_dpc.checkpoint.tf1 import CELL_SUFFIX
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.config.base import listed
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones import backbone_class
from deeplab_dpc.run_config import CONFIG_FILE, read_section

GENOTYPE_FILE = "genotype.json"  # in a run directory
PUBLISHED_CELL = "dpc_top1"  # the only cell with published checkpoints


def run_network(source: str) -> ModelConfig | None:
    """Returns the configuration of the network of a run directory; None for any other source."""
    if is_name(source) or not (pathlib.Path(source) / CONFIG_FILE).exists():
        return None
    return read_section(source, "model", ModelConfig)


def require_same_genotype(config: ModelConfig, source: str) -> None:
    """Raises a UserError if a run's backbone is known to be the Auto-DeepLab of another genotype.

    Names and shapes do not show which state an edge reads.
    """
    run_config = run_network(source)
    if run_config is None or None in (run_config.searched, config.searched):
        return
    if run_config.searched != config.searched:
        raise UserError(
            f"{source} is the checkpoint of another model: its Auto-DeepLab is of another genotype; pass that one with "
            f"--genotype_json={pathlib.Path(source) / GENOTYPE_FILE}."
        )


def other_head(wanted: Shapes, stored: Shapes, config: ModelConfig, source: str) -> str | None:
    """Returns the reason why the context module starts fresh; None if it is restored."""
    scope = backbone_class(config.model_variant).SCOPE
    theirs = {name: shape for name, shape in stored.items() if module_of(name, scope) == HEAD}
    if not theirs:
        return "The checkpoint has no context module; the model's starts fresh, with the logits."
    cell = config.dense_prediction_cell
    # An ASPP that only lacks variables of its branches is the same ASPP, but damaged.
    is_damaged = cell is None and scopes(theirs) == scopes(wanted) and theirs.items() <= wanted.items()
    if theirs == wanted or is_damaged:
        difference = _difference_beyond_shapes(config, source)
        if difference is None:
            return None
        return f"The context module has the checkpoint's shapes but {difference}; it starts fresh, with the logits."
    reason = "The context module is another one than the checkpoint's and starts fresh, with the logits"
    # A cell is given intentionally; flags of ASPP are easily forgotten.
    hints = module_hints({HEAD}, stored, config) if cell is None else []
    return f"{reason} (to restore it, {'; '.join(hints)})." if hints else f"{reason}."


def _difference_beyond_shapes(config: ModelConfig, source: str) -> str | None:
    """Returns how context modules of equal shapes differ, or why they may differ; None if they are equal."""
    run_config = run_network(source)
    cell = config.dense_prediction_cell
    if run_config is None:
        if cell is None:
            return None
        stored_cell = cell_beside(source)
        if stored_cell is None:
            if cell == load_cell(PUBLISHED_CELL):
                return None
            return (
                f"need not be its cell: there is no {source}{CELL_SUFFIX} that says which one it has, and published "
                f"checkpoints have {PUBLISHED_CELL}"
            )
        return None if cell == stored_cell else f"is another cell than its {stored_cell.summary()}"
    if run_config.dense_prediction_cell != cell:
        other = run_config.dense_prediction_cell
        return "is a cell, not its ASPP" if other is None else f"is another cell than its {other.summary()}"
    if cell is not None:
        return None
    if _rates_in_pixels(run_config) != _rates_in_pixels(config):
        theirs = f"--atrous_rates={listed(run_config.atrous_rates)} at --output_stride={run_config.output_stride}"
        return f"not its rates ({theirs})"
    if run_config.image_se_uses_qsigmoid != config.image_se_uses_qsigmoid:
        return f"another gate (--image_se_uses_qsigmoid={str(run_config.image_se_uses_qsigmoid).lower()} there)"
    return None


def _rates_in_pixels(config: ModelConfig) -> list[int]:
    return [rate * config.output_stride for rate in config.atrous_rates]


def cell_beside(source: str) -> Cell | None:
    """Returns the cell that deeplab-dpc export wrote beside a TensorFlow 1 checkpoint; None if there is none."""
    path = f"{source}{CELL_SUFFIX}"
    return load_cell(path) if not is_name(source) and pathlib.Path(path).exists() else None


def other_decoder(wanted: Shapes, stored: Shapes, config: ModelConfig, source: str) -> str | None:
    """Returns the reason why the decoder starts fresh; None if it is restored or there is none."""
    if config.decoder_output_is_logits:
        return None
    theirs = {name: shape for name, shape in stored.items() if name.startswith(f"{DECODER}/")}
    run_config = run_network(source)
    if theirs == wanted:
        if not wanted or run_config is None or run_config.decoder_output_stride == config.decoder_output_stride:
            return None
        strides = listed(run_config.decoder_output_stride)
        return (
            f"The decoder has the checkpoint's shapes but another stride (--decoder_output_stride={strides} there); "
            "it starts fresh, with the logits."
        )
    if not wanted:
        return "The checkpoint's decoder is left out, and the logits start fresh."
    if not theirs:
        return "The checkpoint has no decoder; the model's starts fresh, with the logits."
    return "The decoder is another one than the checkpoint's and starts fresh, with the logits."


def other_logits(wanted: Shapes, stored: Shapes, config: ModelConfig, initialize_last_layer: bool) -> str | None:
    """Returns the reason why the logits start fresh; None if they are restored."""
    if not initialize_last_layer:
        return "The logits start fresh, as --initialize_last_layer=false asks."
    if all(stored.get(name) == shape for name, shape in wanted.items()):
        return None
    classes = num_classes(stored)
    if classes is None:
        return "The checkpoint has no logits; the model's start fresh."
    if classes == config.num_classes:
        return "The logits start fresh: the checkpoint's have other shapes."
    return f"The logits start fresh: the checkpoint has {classes} classes, the model {config.num_classes}."
