"""A random genotype as large as a given one, for comparison with a search of Auto-DeepLab.

    python benchmarks/random_genotype.py --like=S/genotype.json --output=RANDOM.json --seed=0

It has as many blocks and layers as the given genotype, and the parameters and multiply-adds of its backbone are within
--tolerance of the given ones. It is the first such genotype among uniform draws from all that decoding can produce.
Trained with the same flags (train.py --genotype_json=RANDOM.json), it shows the contribution of the search to the
result.
"""

import json
import random

from absl import app, flags

from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.arch.genotype_space import random_genotype
from deeplab_dpc.arch.library import load_genotype
from deeplab_dpc.files import write_json
from deeplab_dpc.models.backbones.auto_deeplab import AutoDeepLab

LIKE = flags.DEFINE_string("like", None, "Genotype whose size is wanted: a file or a name.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.", required=True)
SEED = flags.DEFINE_integer("seed", 0, "Of the draws.")
FILTERS = flags.DEFINE_integer("nas_stem_output_num_conv_filters", 20, "Channels of a block at stride 4.")
INPUT_SIZE = flags.DEFINE_list("input_size", ["321", "321"], "Height and width in pixels that are counted for.")
TOLERANCE = flags.DEFINE_float("tolerance", 0.15, "Largest relative difference of either figure.")
DRAWS = flags.DEFINE_integer("draws", 2000, "After so many draws it gives up.")


def _cost(genotype: Genotype) -> Cost:
    backbone = AutoDeepLab(genotype, FILTERS.value)
    return backbone.cost((1, *map(int, INPUT_SIZE.value), 3))


def _is_close(cost: Cost, wanted: Cost) -> bool:
    pairs = ((cost.parameters, wanted.parameters), (cost.multiply_adds, wanted.multiply_adds))
    return all(abs(own / other - 1.0) <= TOLERANCE.value for own, other in pairs)


def main(argv: list[str]) -> None:
    del argv
    like = load_genotype(LIKE.value)
    wanted = _cost(like)
    rng = random.Random(SEED.value)
    for draw in range(1, DRAWS.value + 1):
        genotype = random_genotype(rng, len(like.blocks), len(like.path))
        cost = _cost(genotype)
        if genotype != like and _is_close(cost, wanted):
            write_json(OUTPUT.value, genotype.to_json())
            print(genotype)
            print(f"parameters {cost.parameters:,} (given {wanted.parameters:,})")
            print(f"multiply-adds {cost.multiply_adds:,} (given {wanted.multiply_adds:,}); draw {draw}")
            return
    raise SystemExit(
        f"None of {DRAWS.value} random genotypes is within {TOLERANCE.value:.0%} of {json.dumps(like.to_json())}; "
        "give a larger --tolerance or more --draws."
    )


if __name__ == "__main__":
    app.run(main)
