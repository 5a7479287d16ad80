"""The canonical form against brute force: cells have one form if and only if they compute the same."""

import itertools
from typing import assert_never

import numpy as np
import pytest

from deeplab_dpc.arch.cell import BACKBONE
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.samplers.exhaustive import num_distinct_cells

HEIGHT, WIDTH, CHANNELS = 5, 6, 2


def _means(side, grid):
    """[grid, side]: cell i of n covers floor(i * side / n) to ceil((i + 1) * side / n)."""
    weights = np.zeros((grid, side))
    for i in range(grid):
        begin, end = i * side // grid, -(-(i + 1) * side // grid)
        weights[i, begin:end] = 1 / (end - begin)
    return weights


def _upsampling(grid, side):
    """[side, grid]: linear interpolation, corners on corners."""
    places = np.linspace(0, grid - 1, side)
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(grid)))


class Network:
    """All operations of a kind have the same weights, so that what a branch computes depends on its path alone."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.features = rng.normal(size=(HEIGHT, WIDTH, CHANNELS))
        self._pointwise = rng.normal(size=(CHANNELS, CHANNELS))
        self._taps = rng.normal(size=(3, 3))

    def apply(self, operation, x):
        if isinstance(operation, PyramidPooling):
            down, across = operation.grid
            pooled = np.einsum("gh,hwc,kw->gkc", _means(HEIGHT, down), x, _means(WIDTH, across))
            convolved = np.tanh(pooled @ self._pointwise)
            return np.einsum("hg,gkc,wk->hwc", _upsampling(down, HEIGHT), convolved, _upsampling(across, WIDTH))
        if isinstance(operation, AtrousConv):
            down, across = operation.rate
            padded = np.pad(x, ((down, down), (across, across), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * down + 1, 2 * across + 1), axis=(0, 1))
            x = np.einsum("hwcij,ij->hwc", windows[..., ::down, ::across], self._taps)
        elif not isinstance(operation, Conv1x1):
            assert_never(operation)
        return np.tanh(x @ self._pointwise)


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (SearchSpace(num_branches=2, rates=(1, 3), grids=(1, 2, 4)), 268),
        (SearchSpace(num_branches=3, rates=(1,), grids=(1, 2)), 434),
    ],
)
def test_cells_have_one_form_if_and_only_if_they_compute_the_same(space, count):
    network, outputs = Network(), {(): Network().features}

    def output(path):
        if path not in outputs:
            outputs[path] = network.apply(path[-1], output(path[:-1]))
        return outputs[path]

    by_form, by_outputs = {}, {}
    choices = [
        choice for branch in range(space.num_branches) for choice in (range(branch + 1), range(len(space.operations)))
    ]
    for number, codes in enumerate(itertools.product(*choices)):
        cell, paths = space.decode(codes), []
        for branch in cell.branches:
            before = () if branch.input == BACKBONE else paths[branch.input]
            paths.append((*before, branch.operation))
        computed = tuple(sorted((np.round(output(path), 6) + 0.0).tobytes() for path in paths))
        by_form.setdefault(cell.canonical(), set()).add(number)
        by_outputs.setdefault(computed, set()).add(number)
    assert sorted(map(sorted, by_form.values())) == sorted(map(sorted, by_outputs.values()))
    assert len(by_form) == num_distinct_cells(space) == count
