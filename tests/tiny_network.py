"""A network whose steps are traced in a second, for tests of what is around it."""

from deeplab_dpc.arch.genotype import Block, Edge, Genotype, Separable, Skip
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import ModelConfig

GENOTYPE = Genotype((Block(Edge(0, Separable(3)), Edge(1, Skip())),), (1, 2))


def tiny_network(num_classes: int) -> ModelConfig:
    """An Auto-DeepLab of two cells of one block, 2 filters at stride 4 and output stride 16, and a 1x1 convolution."""
    return ModelConfig(
        num_classes=num_classes,
        model_variant="auto_deeplab",
        genotype=GENOTYPE,
        nas_stem_output_num_conv_filters=2,
        dense_prediction_cell=load_cell("conv1x1"),
    )
