"""Parameters and multiply-adds compared with the published ones: Table 1 of arXiv:1809.04184, and two whole networks.

    python benchmarks/table1.py

Inputs of 1025 x 2049 pixels, output stride 16: features of 65 x 129. The projection after the branches is not counted
in Table 1, in either module. The comparison shows how the paper counted:

* Parameters are weights of convolutions. The printed ones of ASPP are reproduced only if its three atrous branches,
  which have the same shape, are counted once ("atrous once"); the real module has all three. The multiply-adds count
  all three.
* Multiply-adds of the cell are reproduced with one more for each element of each branch's output (its batch norm);
  those of ASPP on MobileNetV2 without. ASPP on Xception is printed 0.4 % above its convolutions.
* Those of whole networks are reproduced from the convolutions alone, within 0.1 %.
"""

from absl import app

from deeplab_dpc.arch.cell_formulas import branch_norm_multiply_adds, cell_cost
from deeplab_dpc.arch.cost import Cost, total_cost
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.console import print_table
from deeplab_dpc.models.segmenter import Segmenter, build_head
from deeplab_dpc.models.summary import summarize

INPUT_SIZE = (1025, 2049)
FEATURES = (65, 129)
RATES = (6, 12, 18)
BACKBONES = {"mobilenet_v2": 320, "xception": 2048}  # channels of the features
# (module, backbone) -> printed parameters in millions and multiply-adds in billions
PRINTED_MODULES = {
    ("aspp", "mobilenet_v2"): (0.25, 2.82),
    ("aspp", "xception"): (1.59, 18.12),
    ("dpc_top1", "mobilenet_v2"): (0.36, 3.00),
    ("dpc_top1", "xception"): (0.81, 6.84),
}
PRINTED_NETWORKS = {
    ("xception_65", "aspp"): 418.64,
    ("xception_71", "dpc_top1"): 502.07,
}


def _aspp_branches(channels: int) -> list[tuple[str, Cost]]:
    aspp = build_head(ModelConfig(num_classes=19, atrous_rates=RATES))
    steps = aspp.steps((1, *FEATURES, channels))
    return [(layer.name, layer.cost(shape)) for layer, shape in steps if layer.name != "concat_projection"]


def _module_rows() -> list[tuple[str, ...]]:
    cell = load_cell("dpc_top1")
    norms = branch_norm_multiply_adds(cell, *FEATURES)
    rows = []
    for (module, backbone), (parameters, multiply_adds) in PRINTED_MODULES.items():
        channels = BACKBONES[backbone]
        if module == "aspp":
            branches = _aspp_branches(channels)
            cost = total_cost(branch for _, branch in branches)
            once = total_cost(branch for name, branch in branches if name not in ("aspp2", "aspp3")).parameters
            counted, with_norms = f"{once / 1e6:.2f}M", "-"
        else:
            cost = cell_cost(cell, *FEATURES, channels, include_projection=False)
            counted, with_norms = "-", f"{(cost.multiply_adds + norms) / 1e9:.2f}B"
        rows.append(
            (
                f"{module}, {backbone}",
                f"{cost.parameters / 1e6:.2f}M",
                counted,
                f"{parameters:.2f}M",
                f"{cost.multiply_adds / 1e9:.2f}B",
                with_norms,
                f"{multiply_adds:.2f}B",
            )
        )
    return rows


def _network_rows() -> list[tuple[str, ...]]:
    rows = []
    for (variant, module), printed in PRINTED_NETWORKS.items():
        config = ModelConfig(
            num_classes=19,
            model_variant=variant,
            atrous_rates=RATES if module == "aspp" else (),
            dense_prediction_cell=None if module == "aspp" else load_cell(module),
            decoder_output_stride=(4,),
        )
        cost = summarize(Segmenter(config), INPUT_SIZE).cost
        counted = cost.multiply_adds / 1e9
        rows.append(
            (
                f"{variant}, {module}, decoder",
                f"{cost.trainable_parameters:,}",
                f"{counted:.2f}B",
                f"{printed:.2f}B",
                f"{100 * (counted / printed - 1):+.2f} %",
            )
        )
    return rows


def main(argv) -> None:
    """Prints both tables."""
    columns = ("module", "parameters", "atrous once", "printed", "multiply-adds", "with norms", "printed")
    print_table("Table 1: context modules on 65 x 129 features", columns, _module_rows())
    columns = ("network", "trainable parameters", "multiply-adds", "published", "difference")
    print_table("Whole networks at 1025 x 2049, 19 classes", columns, _network_rows())


if __name__ == "__main__":
    app.run(main)
