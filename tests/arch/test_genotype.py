"""Genotypes as values, and the space that they are drawn from."""

import importlib.resources
import json
import random
from collections import Counter

import pytest

from deeplab_dpc.arch.genotype import (
    OPERATORS,
    Atrous,
    Block,
    Edge,
    Genotype,
    MaxPooling,
    Separable,
    Skip,
    Zero,
)
from deeplab_dpc.arch.genotype_space import (
    CHOOSABLE,
    cell_edges,
    count_cells,
    count_decodable_cells,
    edge_name,
    random_genotype,
)
from deeplab_dpc.arch.trellis import count_paths
from deeplab_dpc.errors import UserError

BLOCK = Block(Edge(0, Separable(3)), Edge(1, Skip()))
BLOCK_JSON = {"left": {"state": 0, "operator": "separable_3x3"}, "right": {"state": 1, "operator": "skip"}}
OTHER = Block(Edge(1, Atrous(5)), Edge(2, MaxPooling()))


def published():
    text = importlib.resources.files("deeplab_dpc").joinpath("genotypes/auto_deeplab.json").read_text(encoding="utf-8")
    return Genotype.from_json(json.loads(text))


def as_json(**changes):
    return {**Genotype((BLOCK, OTHER), (0, 1)).to_json(), **changes}


def edge_json(**changes):
    return {"state": 0, "operator": "separable_3x3", **changes}


def test_operators_are_in_the_order_of_the_alphas():
    assert [operator.name for operator in OPERATORS] == [
        "separable_3x3",
        "separable_5x5",
        "atrous_3x3",
        "atrous_5x5",
        "avg_pool_3x3",
        "max_pool_3x3",
        "skip",
        "zero",
    ]


def test_json_holds_states_and_names():
    assert Genotype((BLOCK,), (0, 1, 1)).to_json() == {"blocks": [BLOCK_JSON], "path": [0, 1, 1]}


@pytest.mark.parametrize("seed", range(5))
def test_json_gives_the_genotype_back(seed):
    genotype = random_genotype(random.Random(seed), 5, 12)
    assert Genotype.from_json(json.loads(json.dumps(genotype.to_json()))) == genotype


def test_published_genotype_is_that_of_the_paper():
    genotype = published()
    assert str(genotype).splitlines() == [
        "block 0: atrous_5x5 of H(l-2) + separable_3x3 of H(l-1)",
        "block 1: separable_3x3 of H(l-2) + atrous_3x3 of H(l-1)",
        "block 2: separable_3x3 of block 1 + separable_3x3 of H(l-2)",
        "block 3: separable_5x5 of block 2 + separable_5x5 of block 0",
        "block 4: separable_5x5 of block 1 + atrous_5x5 of block 3",
        "path: 4 4 4 8 16 8 16 16 32 32 16 8",
    ]
    assert genotype.output_stride == 8
    assert genotype.largest_stride == 32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], 'A genotype must be an object {"blocks"'),
        ({"blocks": []}, 'A genotype must be an object {"blocks"'),
        (as_json(cell=1), 'A genotype must be an object {"blocks"'),
        (as_json(blocks={}), "`blocks` and `path` of a genotype must be lists."),
        (as_json(path="01"), "`blocks` and `path` of a genotype must be lists."),
        (as_json(blocks=[]), "at least one block and one layer"),
        (as_json(path=[]), "at least one block and one layer"),
        (as_json(blocks=[1]), 'block 0: must be an object {"left"'),
        (as_json(blocks=[{"left": edge_json()}]), 'block 0: must be an object {"left"'),
        (as_json(blocks=[{"left": edge_json(), "right": 2}]), "block 0: an edge must be an object such as"),
        (
            as_json(blocks=[BLOCK_JSON, {"left": edge_json(), "right": edge_json(rate=2)}]),
            "block 1: an edge must be an object such as",
        ),
        (
            as_json(blocks=[{"left": edge_json(operator="conv"), "right": edge_json()}]),
            "block 0: `operator` must be one of separable_3x3, separable_5x5, atrous_3x3, atrous_5x5, avg_pool_3x3, "
            "max_pool_3x3, skip, got conv.",
        ),
        (as_json(blocks=[{"left": edge_json(operator="zero"), "right": edge_json()}]), "skip, got zero."),
        (as_json(blocks=[{"left": edge_json(operator=["skip"]), "right": edge_json()}]), "got ['skip']."),
        (as_json(blocks=[{"left": edge_json(state=-1), "right": edge_json()}]), "integer >= 0, got -1."),
        (as_json(blocks=[{"left": edge_json(state="0"), "right": edge_json()}]), "integer >= 0, got '0'."),
        (as_json(blocks=[{"left": edge_json(state=True), "right": edge_json()}]), "integer >= 0, got True."),
        (
            as_json(blocks=[BLOCK_JSON, {"left": edge_json(), "right": edge_json(state=3)}]),
            "block 1 reads state 3, which does not come before it; `state` must be less than 3.",
        ),
        (as_json(path=[0, 4]), "`path` must hold levels 0 to 3, got 4 in layer 1."),
        (as_json(path=[0, 1.0]), "`path` must hold levels 0 to 3, got 1.0 in layer 1."),
        (as_json(path=[2]), "goes from 0 of the stem to 2 of layer 0."),
        (as_json(path=[1, 2, 0]), "goes from 2 of layer 1 to 0 of layer 2."),
    ],
)
def test_what_is_no_genotype_is_refused_in_words(value, message):
    with pytest.raises(UserError) as refused:
        Genotype.from_json(value)
    assert message in str(refused.value)


def test_edge_cannot_be_zero():
    with pytest.raises(UserError, match="got zero"):
        Edge(0, Zero())


def test_every_neighbouring_level_is_a_path():
    path = (0, 1, 2, 3, 3, 2, 1, 0)
    assert Genotype.from_json(as_json(path=list(path))).path == path


def test_cell_has_the_edges_of_the_alphas():
    assert cell_edges(2) == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    assert len(cell_edges(5)) == 20
    assert edge_name(1, 2) == "block 1 of block 0"


@pytest.mark.parametrize("num_blocks", [0, 1.0])
def test_cell_has_a_block(num_blocks):
    with pytest.raises(UserError, match="`num_blocks` must be an integer >= 1"):
        cell_edges(num_blocks)


def test_cells_are_as_many_as_the_paper_says():
    assert count_cells(5) == 556_627_761_561_600


def test_decodable_cells_of_two_blocks_written_out():
    """A pair of different states for each block: one of 2, three of 3; 7 operators for each of the 4 edges."""
    assert count_decodable_cells(2) == 1 * 3 * 7**4
    assert count_decodable_cells(5) == 762_683_172_300


def test_random_genotypes_are_uniform():
    rng = random.Random(0)
    genotypes = [random_genotype(rng, 2, 2) for _ in range(3_000)]
    pairs = Counter((g.blocks[1].left.state, g.blocks[1].right.state) for g in genotypes)
    assert set(pairs) == {(0, 1), (0, 2), (1, 2)}
    assert all(abs(count - 1_000) < 105 for count in pairs.values())  # 4 standard deviations of 26
    operators = Counter(edge.operator for g in genotypes for block in g.blocks for edge in block.edges)
    assert set(operators) == set(CHOOSABLE)
    assert all(abs(count - 12_000 / 7) < 155 for count in operators.values())  # 4 of 38
    assert len({g.path for g in genotypes}) == count_paths(2) == 5


def test_random_genotype_is_that_of_its_seed():
    assert random_genotype(random.Random(4), 5, 12) == random_genotype(random.Random(4), 5, 12)
