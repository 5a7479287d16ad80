"""Summary of a network by part: output shapes, parameters and multiply-adds, by formula (arch/cost.py)."""

import dataclasses
from typing import Any

from deeplab_dpc.arch.cost import Cost, total_cost
from deeplab_dpc.models.decoder import DecoderStage
from deeplab_dpc.models.segmenter import Segmenter


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a network.

    Attributes:
      name: name of the part in published checkpoints.
      output_shape: (height, width, channels) of the output.
      cost: cost of the part.
      parts: parts of this part, in order; empty for the finest.
    """

    name: str
    output_shape: tuple[int, int, int]
    cost: Cost
    parts: tuple["Part", ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "output_shape": list(self.output_shape),
            "parameters": self.cost.parameters,
            "batch_norm_parameters": self.cost.batch_norm_parameters,
            "trainable_parameters": self.cost.trainable_parameters,
            "multiply_adds": self.cost.multiply_adds,
            "parts": [part.to_json() for part in self.parts],
        }


def summarize(model: Segmenter, input_size: tuple[int, int]) -> Part:
    """Returns the network for one image of that size: the whole, its parts (backbone, context module, ...) and their
    parts.

    Args:
      model: a Segmenter, whose variables need not exist yet.
      input_size: (height, width) in pixels.
    """
    parts = tuple(_part(layer, shape, depth=1) for layer, shape in model.steps((1, *input_size, 3)))
    return Part(model.config.model_variant, parts[-1].output_shape, total_cost(part.cost for part in parts), parts)


def _part(layer: Any, input_shape: Any, depth: int) -> Part:
    output_shape = layer.compute_output_shape(input_shape)
    if isinstance(output_shape[0], tuple):  # a backbone's: the features and the low-level features
        output_shape = output_shape[0]
    parts: tuple[Part, ...] = ()
    for child, shape in layer.steps(input_shape) if depth else []:
        # A stage of the decoder has no name of its own in published checkpoints.
        is_stage = isinstance(child, DecoderStage)
        parts += _part(child, shape, depth=1).parts if is_stage else (_part(child, shape, depth - 1),)
    return Part(layer.name.replace(".", "/"), tuple(output_shape[1:]), layer.cost(input_shape), parts)
