"""Prints a network by part: output shape, parameters, multiply-adds. No data and no weights are needed."""

import dataclasses
import json
from typing import Any

from deeplab_dpc.api.loaded import network_of_checkpoint
from deeplab_dpc.arch.drawing import draw_cell
from deeplab_dpc.arch.genotype_drawing import draw_genotype
from deeplab_dpc.cli.flags.describe import DEFAULT_SIZE, Flags
from deeplab_dpc.cli.model_source import evaluated_network
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.console import console, print_table
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.models.summary import Part, summarize
from deeplab_dpc.run_config import read_section, shipped_run


def main(flags: Flags) -> None:
    """Prints the description."""
    if flags.workdir is not None and flags.checkpoint_path is not None:
        raise UserError("Give one of --workdir and --checkpoint_path.")
    if flags.workdir is not None:
        config = evaluated_network(read_section(shipped_run(flags.workdir), "model", ModelConfig), flags.network)
    elif flags.checkpoint_path is not None:
        log = console.print if not flags.json else lambda line: None
        config = network_of_checkpoint(flags.checkpoint_path, flags.network.given_fields(), log)
    else:
        config = flags.network.config(flags.num_classes)
    if flags.drawing is not None:
        _draw(config, flags.drawing)
    size = flags.input_size or DEFAULT_SIZE
    if flags.json:
        print(json.dumps(description(config, size), indent=1))
    else:
        print_description(config, size)


def _draw(config: ModelConfig, path: str) -> None:
    """Writes the drawing of the network's cell; a dense prediction cell takes precedence over that of a genotype."""
    if config.dense_prediction_cell is not None:
        draw_cell(config.dense_prediction_cell, path)
    elif config.searched is not None:
        draw_genotype(config.searched, path)
    else:
        raise UserError("--drawing: the network has no cell; give --dense_prediction_cell_json or --genotype_json.")


def description(config: ModelConfig, input_size: tuple[int, int]) -> dict[str, Any]:
    """Returns the network of a configuration on an image of that (height, width) in pixels, for JSON."""
    whole = summarize(Segmenter(config), input_size)
    return {"config": config.to_json(), "input_size": list(input_size), **whole.to_json()}


def print_description(config: ModelConfig, input_size: tuple[int, int]) -> None:
    """Prints the description as a table."""
    whole = summarize(Segmenter(config), input_size)
    rows = []
    for part in whole.parts:
        rows.append(_row(part, ""))
        rows += [_row(inner, "  ") for inner in part.parts]
    rows.append(_row(dataclasses.replace(whole, name="total"), ""))
    title = f"{config.model_variant}, {input_size[0]} x {input_size[1]}, {config.num_classes} classes"
    print_table(title, ("part", "output", "parameters", "with batch norm", "multiply-adds"), rows)


def _row(part: Part, indent: str) -> tuple[str, ...]:
    return (
        f"{indent}{part.name}",
        " x ".join(map(str, part.output_shape)),
        f"{part.cost.parameters:,}",
        f"{part.cost.trainable_parameters:,}",
        _billions(part.cost.multiply_adds),
    )


def _billions(count: int) -> str:
    return f"{count / 1e9:.3f}B"
