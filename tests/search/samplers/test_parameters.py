"""Cells as Optuna's parameters."""

from optuna.distributions import IntDistribution

from deeplab_dpc.search.samplers.optuna_view import cell_of, distributions, params_of


def test_a_branch_is_its_input_and_its_operation(space):
    assert distributions(space) == {
        "input_0": IntDistribution(0, 0),
        "operation_0": IntDistribution(0, 8),
        "input_1": IntDistribution(0, 1),
        "operation_1": IntDistribution(0, 8),
        "input_2": IntDistribution(0, 2),
        "operation_2": IntDistribution(0, 8),
    }
    params = {"input_0": 0, "operation_0": 4, "input_1": 1, "operation_1": 0, "input_2": 0, "operation_2": 8}
    assert params_of(space, space.decode((0, 4, 1, 0, 0, 8))) == params


def test_parameters_are_read_back(space, cells):
    assert [cell_of(space, {**params_of(space, cell), "other": 1}) for cell in cells] == cells
