"""Tests of the files that a search by gradient writes after each epoch."""

import json
import math
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from deeplab_dpc.arch.genotype import Atrous, Block, Edge, Genotype, Separable, Skip
from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.search.auto_deeplab.decoding import decode, operator_probabilities
from deeplab_dpc.search.auto_deeplab.gradient_report import write_report
from deeplab_dpc.search.auto_deeplab.report_architecture import changes_section, heat_map, path_section
from deeplab_dpc.search.auto_deeplab.report_curves import curves, curves_section, epochs_section, measured
from deeplab_dpc.search.reporting import style

CONFIG = AutoDeepLabConfig(num_blocks=2, num_layers=3, search_epochs=6, architecture_start_epoch=2)
FIRST = Genotype((Block(Edge(0, Skip()), Edge(1, Skip())), Block(Edge(0, Separable(3)), Edge(2, Atrous(5)))), (0, 1, 1))
SECOND = Genotype((FIRST.blocks[0], Block(Edge(0, Separable(3)), Edge(1, Skip()))), (0, 1, 1))


def row(epoch, genotype=FIRST, **changes):
    values = {
        "epoch": epoch,
        "step": 10 * epoch,
        "weight_loss": 1.5 / epoch,
        "architecture_loss": None if epoch <= 2 else 2.0 / epoch,
        "miou": 0.1 * epoch,
        "pixel_accuracy": 0.15 * epoch,
        "alpha_entropy": math.log(8) / epoch,
        "beta_entropy": 0.5,
        "skip_share": 0.125,
        "num_skips": 2,
        "seconds": 90.0,
        "stopped": "",
        "genotype": genotype.to_json(),
    }
    return {**values, **changes}


@pytest.fixture
def architecture():
    """Raw alphas and betas that stand for FIRST."""
    alphas, betas = np.zeros((5, 8), "float32"), np.zeros((3, 4, 3), "float32")
    alphas[[0, 1], 6] = alphas[2, 0] = alphas[4, 3] = 2
    betas[0, 0, 1] = betas[1, 0, 2] = betas[2, 1, 1] = 2
    assert decode(alphas, betas) == FIRST
    return alphas, betas


@pytest.fixture
def no_figures(monkeypatch):
    """Figures are empty files, where a test is of the words."""
    monkeypatch.setattr(style, "png", lambda figure: b"")


def page_of(workdir):
    """(titles of the sections, all words) of report.html."""
    page = (workdir / "report.html").read_text(encoding="utf-8")
    return re.findall(r"<h2>(.*?)</h2>", page), re.sub(r"data:image[^\"]*", "", page)


def test_report_before_the_first_epoch(tmp_path, architecture):
    write_report(tmp_path, [], *architecture, CONFIG)
    titles, words = page_of(tmp_path)
    assert titles == ["Summary", "Cell", "Alphas", "Path"]
    assert "No epoch of 6 is done yet" in words
    assert "trained from epoch 3 on" in words
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"report.html", "report", "cell.png", "path.png", "genotype_so_far.json"}


def test_report_while_only_weights_are_trained(tmp_path, architecture, no_figures):
    write_report(tmp_path, [row(1), row(2)], *architecture, CONFIG)
    titles, words = page_of(tmp_path)
    assert titles == ["Summary", "Curves", "Cell", "Alphas", "Path", "Changes", "Epochs"]
    assert "2 of 6 epochs done, in 3.0 min. The supernet&#x27;s mIOU on val is 0.2000." in words
    assert "the genotype means nothing" in words


def test_report_says_what_was_found_and_searched(tmp_path, architecture):
    history = [row(1), row(2), row(3, miou=0.9), row(4)]
    write_report(tmp_path, history, *architecture, CONFIG)
    _, words = page_of(tmp_path)
    assert "its best was 0.9000 after epoch 3." in words
    assert "trained for 2 epochs. 2 of the cell&#x27;s 4 operators are skips." in words
    assert "13 with the first layer at stride 4 or 8; 5 with it at stride 4" in words
    assert "147,456 as the paper counts; 7,203 different ones without zero" in words  # (3! 8^2)^2 and 3 * 7^4
    assert "2 skip, 1 separable_3x3, 1 atrous_5x5" in words
    assert f"--genotype_json={tmp_path}/genotype_so_far.json" in words
    assert "<title>Search of a cell and a path by gradient</title>" in words
    stored = json.loads((tmp_path / "genotype_so_far.json").read_text(encoding="utf-8"))
    assert Genotype.from_json(stored) == FIRST


def test_report_of_a_decided_genotype_shows_that_one(tmp_path, architecture, no_figures):
    write_report(tmp_path, [], *architecture, CONFIG, genotype=SECOND)
    _, words = page_of(tmp_path)
    assert "3 skip, 1 separable_3x3" in words
    assert f"--genotype_json={tmp_path}/genotype.json" in words
    assert not (tmp_path / "genotype_so_far.json").exists()


def test_report_says_why_a_search_stopped(tmp_path, architecture, no_figures):
    config = AutoDeepLabConfig(num_blocks=2, num_layers=3, stop_at_skips=2)
    write_report(tmp_path, [row(3, stopped="2 of 4 operators are skip")], *architecture, config)
    _, words = page_of(tmp_path)
    assert "It has stopped early: 2 of 4 operators are skip." in words
    assert "the search stops at 2" in words


def test_report_is_replaced_whole(tmp_path, architecture, no_figures):
    write_report(tmp_path, [row(1)], *architecture, CONFIG)
    write_report(tmp_path, [], *architecture, CONFIG)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"cell_01.png", "alphas_01.png", "path_01.png"}
    assert not list(tmp_path.glob(".*"))


def test_changes_list_the_epochs_that_changed_the_genotype():
    section = changes_section([row(1), row(2), row(3, SECOND), row(4, SECOND)])
    ((_, columns, rows),) = section.tables
    assert columns == ("epoch", "mIOU of the supernet", "skips", "what changed")
    assert rows == [
        ["3", "0.3000", "3", "block 1: separable_3x3 of H(l-1) + skip of H(l-2)"],
        [
            "1",
            "0.1000",
            "2",
            "block 0: skip of H(l-1) + skip of H(l-2); block 1: separable_3x3 of H(l-1) + atrous_5x5 of block 0; "
            "strides 4 8 8",
        ],
    ]
    assert "the same since epoch 3, of 4 that are done" in section.text


def test_change_of_the_path_alone_is_a_change():
    moved = Genotype(FIRST.blocks, (1, 1, 1))
    ((_, _, rows),) = changes_section([row(1), row(2, moved)]).tables
    assert rows[0][-1] == "strides 8 8 8"


def test_epochs_without_a_loss_of_the_architecture_have_none():
    ((_, columns, rows),) = epochs_section([row(2), row(3)]).tables
    losses = [entries[columns.index("loss of alphas and betas")] for entries in rows]
    assert losses == ["0.6667", "-"]
    assert [entries[0] for entries in rows] == ["3", "2"]


def test_nothing_to_show_before_the_first_epoch():
    assert curves_section([], CONFIG) is changes_section([]) is epochs_section([]) is None


def test_curves_begin_where_there_are_values_and_mark_the_start_of_the_architecture():
    history = [row(epoch) for epoch in range(1, 5)]
    axes = curves(history, CONFIG, [("loss", np.array([math.nan, math.nan, 0.6, 0.5]))], "loss").axes[0]
    line, mark = axes.lines
    assert list(line.get_xdata()) == [1, 2, 3, 4]
    assert list(mark.get_xdata()) == [2, 2]
    assert axes.get_xlim() == (0, 6.5)


def test_what_hardly_changes_looks_so():
    axes = curves([row(1), row(2)], CONFIG, [("entropy", np.array([1.0, 1.0 - 1e-7]))], "share").axes[0]
    assert axes.get_ylim() == pytest.approx((0.95, 1.05))


def test_ten_curves_differ_in_colour_mark_or_dashes():
    series = [(f"seed {seed}", np.array([0.1, 0.2])) for seed in range(10)]
    lines = curves([row(1), row(2)], CONFIG, series, "mIOU").axes[0].get_lines()[:10]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 10


def test_curves_have_a_picture_each(no_figures):
    captions = [caption for caption, _ in curves_section([row(1), row(3)], CONFIG).figures]
    assert captions == ["The supernet on val", "Loss in training", "Entropy", "The skip operator"]


def test_curves_are_what_was_measured():
    history = [row(2), row(4, num_skips=3)]
    found = {label: values for _, series, _ in measured(history, CONFIG) for label, values in series}
    np.testing.assert_allclose(found["mIOU"], [0.2, 0.4])
    np.testing.assert_allclose(found["pixel accuracy"], [0.3, 0.6])
    np.testing.assert_allclose(found["weights, first half"], [0.75, 0.375])
    np.testing.assert_allclose(found["alphas and betas, second half"], [math.nan, 0.5])
    np.testing.assert_allclose(found["operators (alphas)"], [1 / 2, 1 / 4])
    largest = (3 * math.log(2) + 3 * math.log(3)) / 6  # stem, two nodes in layer 1, three in layer 2
    np.testing.assert_allclose(found["edges of the trellis (betas)"], [0.5 / largest] * 2)
    np.testing.assert_allclose(found["mean probability"], [0.125, 0.125])
    np.testing.assert_allclose(found["of the drawn operators"], [2 / 4, 3 / 4])


def test_heat_map_frames_what_the_genotype_has(architecture):
    figure = heat_map(operator_probabilities(architecture[0]), FIRST)
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    corners = {(patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in axes.patches}
    assert corners == {(6, 0), (6, 1), (0, 2), (3, 4)}  # (column, row)
    assert [label.get_text() for label in axes.get_yticklabels()][:3] == [
        "block 0 of H(l-1)",
        "block 0 of H(l-2)",
        "block 1 of H(l-1)",
    ]
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == 5 * 8
    assert texts[6] == ".51"  # e^2 / (e^2 + 7)


def test_path_has_the_probabilities_of_the_edges_that_it_leaves(architecture):
    section = path_section(architecture[1], FIRST, b"")
    ((_, _, rows),) = section.tables
    strong, weak = math.exp(2) / (math.exp(2) + 1), 1 / (math.exp(2) + 1)
    assert rows[0] == ("stem", "4", "4", "-", f"{strong:.4f}", f"{weak:.4f}")
    assert rows[2][:3] == ("layer 2", "8", "8")
    assert rows[2][4] == f"{math.exp(2) / (math.exp(2) + 2):.4f}"
    assert "close to undecided" not in section.text


def test_path_of_untrained_betas_is_said_to_mean_little():
    section = path_section(np.zeros((3, 4, 3)), Genotype(FIRST.blocks, (0, 0, 0)), b"")
    assert "equal betas favour staying at stride 4" in section.text
    assert "0.125; the second best has 0.125" in section.text
