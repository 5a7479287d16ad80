"""Cells: validation, JSON both ways, text forms, canonical form."""

import json
import random
import re
import subprocess
import sys

import pytest

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.errors import UserError

IMAGE_POOLING = PyramidPooling((1, 1))
TOP1_JSON = [
    {"kernel": 3, "rate": [1, 6], "op": "conv", "input": -1},
    {"kernel": 3, "rate": [18, 15], "op": "conv", "input": 0},
    {"kernel": 3, "rate": [6, 3], "op": "conv", "input": 1},
    {"kernel": 3, "rate": [1, 1], "op": "conv", "input": 0},
    {"kernel": 3, "rate": [6, 21], "op": "conv", "input": 0},
]
TOP1 = Cell(
    (
        Branch(BACKBONE, AtrousConv((1, 6))),
        Branch(0, AtrousConv((18, 15))),
        Branch(1, AtrousConv((6, 3))),
        Branch(0, AtrousConv((1, 1))),
        Branch(0, AtrousConv((6, 21))),
    )
)


def make_cell(*branches):
    return Cell(tuple(Branch(source, operation) for source, operation in branches))


def permuted(cell, rng):
    """The same cell with its branches in another order that keeps inputs before their readers."""
    order = []
    while len(order) < len(cell.branches):
        ready = [
            index
            for index, branch in enumerate(cell.branches)
            if index not in order and (branch.input == BACKBONE or branch.input in order)
        ]
        order.append(rng.choice(ready))
    new_index = {BACKBONE: BACKBONE, **{old: new for new, old in enumerate(order)}}
    return make_cell(*((new_index[cell.branches[old].input], cell.branches[old].operation) for old in order))


def test_published_json_is_read_and_written_unchanged():
    assert Cell.from_json(TOP1_JSON) == TOP1
    assert TOP1.to_json() == TOP1_JSON


def test_pooling_json_has_a_grid_size():
    cell = make_cell((BACKBONE, PyramidPooling((2, 8))))
    assert cell.to_json() == [{"grid_size": [2, 8], "op": "pyramid_pooling", "input": -1}]


def test_json_round_trip_of_random_cells():
    rng = random.Random(1)
    space = SearchSpace(num_branches=6)
    cells = [space.sample(rng) for _ in range(200)]
    assert [Cell.from_json(json.loads(json.dumps(cell.to_json()))) for cell in cells] == cells


@pytest.mark.parametrize(
    ("entry", "operation"),
    [
        ({"op": "conv", "kernel": 3, "rate": 6}, AtrousConv((6, 6))),
        ({"op": "conv", "kernel": 3}, AtrousConv((1, 1))),
        ({"op": "conv", "kernel": 1, "rate": [1, 1]}, Conv1x1()),
        ({"op": "pyramid_pooling", "kernel": 1, "grid_size": [3, 6]}, PyramidPooling((3, 6))),
        ({"op": "pyramid_pooling", "grid_size": 2}, PyramidPooling((2, 2))),
    ],
)
def test_short_forms_in_json_are_accepted(entry, operation):
    assert Cell.from_json([{**entry, "input": -1}]) == make_cell((BACKBONE, operation))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("conv", "branch 1: must be an object such as {.*}, got 'conv'."),
        ({"kernel": 1, "input": 0}, "branch 1: `op` is missing in {'kernel': 1, 'input': 0}."),
        ({"op": "sep", "input": 0}, 'branch 1: `op` must be "conv" or "pyramid_pooling", got \'sep\'.'),
        ({"op": ["conv"], "input": 0}, r"branch 1: `op` must be .*, got \['conv'\]."),
        ({"op": "conv", "input": 0}, "branch 1: `kernel` is missing"),
        ({"op": "conv", "kernel": 5, "input": 0}, "branch 1: `kernel` must be 1 or 3, got 5."),
        ({"op": "conv", "kernel": True, "input": 0}, "branch 1: `kernel` must be 1 or 3, got True."),
        ({"op": "conv", "kernel": 1}, "branch 1: `input` is missing"),
        ({"op": "conv", "kernel": 1, "input": 0.0}, "branch 1: `input` must be -1 .*, got 0.0."),
        ({"op": "conv", "kernel": 1, "input": -2}, "branch 1: `input` must be -1 .*, got -2."),
        ({"op": "conv", "kernel": 1, "input": True}, "branch 1: `input` must be -1 .*, got True."),
        ({"op": "conv", "kernel": 1, "rate": 6, "input": 0}, "branch 1: `rate` of a 1x1 convolution .*, got 6."),
        ({"op": "conv", "kernel": 3, "rate": [1, 0], "input": 0}, r"branch 1: `rate` must be .* >= 1.*, got \(1, 0\)."),
        ({"op": "conv", "kernel": 3, "rate": [6], "input": 0}, r"branch 1: `rate` must be two integers.*, got \(6,\)."),
        ({"op": "conv", "kernel": 3, "rate": 1.5, "input": 0}, "branch 1: `rate` must be two integers.*, got 1.5."),
        ({"op": "pyramid_pooling", "input": 0}, "branch 1: `grid_size` is missing"),
        (
            {"op": "pyramid_pooling", "grid_size": [True, 1], "input": 0},
            r"branch 1: `grid_size` must be two integers .*, got \(True, 1\).",
        ),
        (
            {"op": "pyramid_pooling", "grid_size": 1, "kernel": 3, "input": 0},
            "branch 1: `kernel` must be 1, got 3.",
        ),
        (
            {"op": "pyramid_pooling", "grid_size": 1, "target_size_factor": 2, "input": 0},
            "branch 1: unknown key 'target_size_factor'; a \"pyramid_pooling\" branch has only input, op, kernel, "
            "grid_size.",
        ),
        (
            {"op": "conv", "kernel": 3, "grid_size": 1, "input": 0},
            "branch 1: unknown key 'grid_size'; a \"conv\" branch has only input, op, kernel, rate.",
        ),
        (
            {"op": "conv", "kernel": 1, "input": 3},
            re.escape(
                "branch 1 reads branch 3, which does not come before it; `input` must be -1 (the backbone) or less"
            ),
        ),
    ],
)
def test_malformed_branch_is_named_with_its_value(entry, message):
    with pytest.raises(UserError, match=f"^{message}"):
        Cell.from_json([{"op": "conv", "kernel": 1, "input": -1}, entry])


def test_json_that_is_no_list_is_an_error():
    with pytest.raises(UserError, match=r"A cell must be a list of branches such as .*, got {'op': 'conv'}"):
        Cell.from_json({"op": "conv"})


def test_cell_without_branches_is_an_error():
    with pytest.raises(UserError, match="at least one branch, got none"):
        Cell.from_json([])


def test_first_branch_can_only_read_the_backbone():
    with pytest.raises(UserError, match=r"branch 0 reads branch 0, .*`input` must be -1 \(the backbone\)\.$"):
        make_cell((0, Conv1x1()))


def test_values_are_checked_at_construction():
    with pytest.raises(UserError, match=r"`rate` must be two integers >= 1, \(height, width\), got \[1, 6\]"):
        AtrousConv([1, 6])
    with pytest.raises(UserError, match=r"`grid_size` must be two integers >= 1, \(height, width\), got \(0, 1\)"):
        PyramidPooling((0, 1))
    with pytest.raises(UserError, match="`operation` must be Conv1x1, AtrousConv or PyramidPooling, got 'conv'"):
        Branch(BACKBONE, "conv")
    with pytest.raises(UserError, match="`branches` must be a tuple of Branch, got 3"):
        Cell(3)


def test_description_has_a_line_for_each_branch():
    cell = make_cell((BACKBONE, AtrousConv((1, 6))), (0, PyramidPooling((2, 4))), (1, Conv1x1()))
    assert str(cell) == (
        "branch 0: backbone -> 3x3 atrous conv, rate 1x6\n"
        "branch 1: branch 0 -> pyramid pooling, grid 2x4\n"
        "branch 2: branch 1 -> 1x1 conv"
    )


def test_summary_is_one_line():
    assert TOP1.summary() == "B>3x3@1x6 0>3x3@18x15 1>3x3@6x3 0>3x3@1x1 0>3x3@6x21"
    assert make_cell((BACKBONE, PyramidPooling((2, 4)))).summary() == "B>pool@2x4"


def test_canonical_form_is_the_same_for_every_branch_order():
    rng = random.Random(2)
    space = SearchSpace(num_branches=6, rates=(1, 6), grids=(1, 2))
    for _ in range(200):
        cell = space.sample(rng)
        other = permuted(cell, rng)
        assert other.canonical() == cell.canonical()
        assert other.digest() == cell.digest()


def test_canonical_form_of_a_canonical_form_is_itself():
    rng = random.Random(3)
    space = SearchSpace(num_branches=5, rates=(1, 6), grids=(1, 2))
    for _ in range(200):
        canonical = space.sample(rng).canonical()
        assert canonical.canonical() == canonical


def test_canonical_form_of_the_published_cell_sorts_subtrees():
    assert TOP1.canonical().summary() == "B>3x3@1x6 0>3x3@1x1 0>3x3@6x21 0>3x3@18x15 3>3x3@6x3"


def test_cells_that_compute_different_things_keep_different_canonical_forms():
    atrous, conv = AtrousConv((3, 6)), Conv1x1()
    different = [
        make_cell((BACKBONE, atrous), (0, conv)),
        make_cell((BACKBONE, conv), (0, atrous)),
        make_cell((BACKBONE, conv), (BACKBONE, atrous)),
        make_cell((BACKBONE, AtrousConv((6, 3))), (0, conv)),
        make_cell((BACKBONE, atrous), (0, conv), (0, conv)),
        make_cell((BACKBONE, atrous), (0, conv), (1, conv)),
        make_cell((BACKBONE, PyramidPooling((2, 2))), (0, PyramidPooling((2, 2)))),
        make_cell((BACKBONE, PyramidPooling((2, 2))), (0, conv)),
    ]
    assert len({cell.canonical() for cell in different}) == len(different)
    assert len({cell.digest() for cell in different}) == len(different)


def test_equal_subtrees_under_different_branches_are_not_mixed_up():
    left, right, leaf = AtrousConv((1, 1)), AtrousConv((6, 6)), Conv1x1()
    both_left = make_cell((BACKBONE, left), (BACKBONE, right), (0, leaf), (0, leaf))
    one_each = make_cell((BACKBONE, left), (BACKBONE, right), (0, leaf), (1, leaf))
    assert both_left.canonical() != one_each.canonical()


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (1, 8)])
def test_pooling_of_a_constant_input_is_a_1x1_convolution(grid):
    through_conv = make_cell((BACKBONE, IMAGE_POOLING), (0, Conv1x1()), (1, PyramidPooling(grid)))
    assert through_conv.canonical().summary() == "B>pool@1x1 0>1x1 1>1x1"


def test_atrous_convolution_of_a_constant_input_is_not_constant():
    cell = make_cell((BACKBONE, IMAGE_POOLING), (0, AtrousConv((1, 1))), (1, PyramidPooling((2, 2))))
    assert cell.canonical() == cell


def test_pooling_over_more_than_one_grid_cell_is_not_constant():
    cell = make_cell((BACKBONE, PyramidPooling((2, 4))), (0, PyramidPooling((2, 2))))
    assert cell.canonical() == cell


@pytest.mark.parametrize(
    ("first", "second", "form"),
    [
        ((1, 2), (4, 2), "B>pool@1x2 0>1x1 1>pool@1x2"),
        ((1, 2), (4, 1), "B>pool@1x2 0>1x1 1>pool@1x1"),
        ((2, 1), (4, 2), "B>pool@2x1 0>1x1 1>pool@4x1"),
    ],
)
def test_grid_of_a_pooling_does_not_matter_along_an_axis_that_is_constant(first, second, form):
    through_conv = make_cell((BACKBONE, PyramidPooling(first)), (0, Conv1x1()), (1, PyramidPooling(second)))
    assert through_conv.canonical().summary() == form


def test_digest_does_not_change_between_releases():
    assert TOP1.digest() == "9e8386a802ea"


def test_importing_architectures_loads_no_numerical_library():
    script = (
        "import sys; from deeplab_dpc.arch import cell, cost, drawing, library, space; library.shipped_cells();"
        "print(sorted({'tensorflow', 'keras', 'numpy', 'matplotlib', 'jax'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
