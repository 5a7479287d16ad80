"""Cells that ship, and cells from files."""

import json
import pathlib

import pytest

from deeplab_dpc.arch.library import (
    load_cell,
    load_cells,
    load_genotype,
    published_genotype,
    shipped_cells,
    shipped_genotypes,
)
from deeplab_dpc.errors import UserError


def test_shipped_cells():
    assert {name: cell.summary() for name, cell in shipped_cells().items()} == {
        "aspp": "B>1x1 B>3x3@6x6 B>3x3@12x12 B>3x3@18x18 B>pool@1x1",
        "conv1x1": "B>1x1",
        "dpc_top1": "B>3x3@1x6 0>3x3@18x15 1>3x3@6x3 0>3x3@1x1 0>3x3@6x21",
        "psp": "B>1x1 B>pool@1x1 B>pool@2x2 B>pool@3x3 B>pool@6x6",
    }
    assert list(shipped_cells()) == ["aspp", "conv1x1", "dpc_top1", "psp"]


def test_cell_is_loaded_from_a_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(load_cell("psp").to_json()))
    assert load_cell(path) == load_cell(str(path)) == shipped_cells()["psp"]


def test_listed_cells_are_named_by_their_files(tmp_path):
    def file(name, cell):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(load_cell(cell).to_json()))
        return str(path)

    found, first, second = file("found.json", "aspp"), file("a/same.json", "psp"), file("b/same.json", "conv1x1")
    like_shipped, like_aspp = file("dpc_top1.json", "psp"), file("aspp_3_6_9.json", "psp")
    listed = load_cells(["psp", found, first, second, like_shipped, like_aspp], "warm_starts")
    assert [name for name, _ in listed] == ["psp", "found", first, second, like_shipped, like_aspp]
    assert listed[1][1] == load_cell("aspp")


def test_unknown_name_lists_the_shipped_ones():
    with pytest.raises(
        UserError, match=r"'dpc' is neither a cell file nor a cell that ships \(aspp, conv1x1, dpc_top1, psp\)\."
    ):
        load_cell("dpc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "The cell file {path} is not valid JSON: .*"),
        (
            '[{"op": "conv", "kernel": 1, "input": 1}]',
            "The cell file {path} is not valid: branch 0 reads branch 1, which does not come before it; .*",
        ),
        (
            '[{"op": "conv", "kernel": 2, "input": -1}]',
            "The cell file {path} is not valid: branch 0: `kernel` must be 1 or 3, got 2.",
        ),
    ],
)
def test_errors_in_a_file_name_it(tmp_path, text, message):
    path = pathlib.Path(tmp_path, "bad.json")
    path.write_text(text)
    with pytest.raises(UserError, match=f"^{message.format(path=path)}$"):
        load_cell(path)


def test_published_genotype_ships_and_genotypes_are_loaded_from_files(tmp_path):
    assert list(shipped_genotypes()) == ["auto_deeplab"]
    published = published_genotype()
    assert published.path == (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
    assert str(published).splitlines()[0] == "block 0: atrous_5x5 of H(l-2) + separable_3x3 of H(l-1)"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(published.to_json()))
    assert load_genotype(path) == load_genotype("auto_deeplab") == published
    path.write_text('{"blocks": [], "path": [0]}')
    with pytest.raises(UserError, match=f"The genotype file {path} is not valid: A genotype must have at least one"):
        load_genotype(path)
    with pytest.raises(UserError, match=r"'dpc' is neither a genotype file nor a genotype that ships \(auto_deeplab\)"):
        load_genotype("dpc")


def test_directory_is_no_cell_file(tmp_path):
    with pytest.raises(UserError, match=r"The cell file .* cannot be read: Is a directory"):
        load_cell(tmp_path)
