"""The reduced search space of the paper's Fig. 3."""

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.search.fidelity.measured_cells import aspp_subsets


def test_there_are_31_cells_no_two_of_which_compute_the_same():
    subsets = aspp_subsets()
    assert len(subsets) == 31
    assert len({cell.digest() for cell in subsets.values()}) == 31


def test_a_name_says_the_branches():
    assert aspp_subsets()["1x1+6+18+pool"] == Cell(
        (
            Branch(BACKBONE, Conv1x1()),
            Branch(BACKBONE, AtrousConv((6, 6))),
            Branch(BACKBONE, AtrousConv((18, 18))),
            Branch(BACKBONE, PyramidPooling((1, 1))),
        )
    )


def test_the_single_branches_come_first_and_aspp_last():
    subsets = aspp_subsets()
    assert list(subsets)[:6] == ["1x1", "6", "12", "18", "pool", "1x1+6"]
    assert list(subsets)[-1] == "1x1+6+12+18+pool"
    assert list(subsets.values())[-1] == load_cell("aspp")
    assert subsets["1x1"] == load_cell("conv1x1")


def test_sizes_are_binomial():
    sizes = [len(cell.branches) for cell in aspp_subsets().values()]
    assert [sizes.count(size) for size in range(1, 6)] == [5, 10, 10, 5, 1]
