"""The measurements that the repository keeps: they read, and say what docs/results.md says of them."""

import pathlib

import pytest

from deeplab_dpc.arch.library import name_of_cell
from deeplab_dpc.search.fidelity.analysis import Scope, analyse
from deeplab_dpc.search.fidelity.measurement import MIXED
from deeplab_dpc.search.fidelity.other_proxies import read_others, require_same_protocol

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "benchmarks" / "measurements"
ONE_VIEW, SIX_VIEWS, ADAPTED = "camvid_crop_257", "camvid_crop_257_views_6", "camvid_crop_257_adapted"


def _read(name):
    [measurement] = read_others([str(FOLDER / name)]).values()
    return measurement


@pytest.mark.parametrize(
    ("predictor", "rho", "regrets"),
    [
        ("proxy mIOU", 0.74, (0.0058, 0.0006)),
        ("minus validation cross entropy", 0.77, (0.0058, 0.0006)),
        ("minus last loss", 0.84, (0.0058, 0.0)),
        ("receptive field", -0.45, (0.0, 0.0)),
    ],
)
def test_figures_of_the_page_are_those_of_the_measurement(predictor, rho, regrets):
    rows = _read(ONE_VIEW).rows
    analysis = analyse(Scope(MIXED, rows))
    assert len(rows) == 24
    assert round(analysis.correlations[predictor].rho, 2) == rho
    regret = analysis.regrets[predictor]
    assert (round(regret.of_first, 4), round(regret.of_first_three, 4)) == regrets
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith(f"| {predictor} | {rho:.2f} [")]
    assert line.count("|") > 3


@pytest.mark.parametrize(("name", "rho"), [(ONE_VIEW, 0.77), (SIX_VIEWS, 0.79)])
def test_views_are_compared_on_the_cells_that_both_have(name, rho):
    common = {row.cell.digest() for row in _read(SIX_VIEWS).rows}
    rows = [row for row in _read(name).rows if row.cell.digest() in common]
    assert len(rows) == 12
    assert round(analyse(Scope(MIXED, rows)).correlations["proxy mIOU"].rho, 2) == rho


@pytest.mark.parametrize(
    ("name", "of_miou", "of_losses"),
    [(ONE_VIEW, "0.80 [0.39, 0.99]", "0.86 [0.60, 0.98]"), (ADAPTED, "0.71 [0.18, 0.96]", "0.95 [0.80, 1.00]")],
)
def test_adapted_features_are_compared_on_the_cells_that_both_have(name, of_miou, of_losses):
    common = {row.cell.digest() for row in _read(ADAPTED).rows}
    rows = [row for row in _read(name).rows if row.cell.digest() in common]
    assert len(rows) == 15
    correlations = analyse(Scope(MIXED, rows)).correlations
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for predictor, shown in (("proxy mIOU", of_miou), ("minus loss sum", of_losses)):
        found = correlations[predictor]
        low, high = found.rho_interval
        assert f"{found.rho:.2f} [{low:.2f}, {high:.2f}]" == shown
        assert any(line.startswith(f"| {predictor} | ") and f"| {shown} |" in line for line in page.splitlines())


def test_cells_have_their_names():
    rows = {row.name: row for row in _read(ONE_VIEW).rows}
    known = {name for name, row in rows.items() if name_of_cell(row.cell) == name}
    assert known == {"conv1x1", "psp", "aspp_3_6_9"}


def test_all_kept_measurements_share_their_real_trainings():
    folders = sorted(path.name for path in FOLDER.iterdir())
    measurements = {name: _read(name) for name in folders}
    first = measurements[ONE_VIEW]
    require_same_protocol(measurements, first.protocol)
    assert first.protocol["rerank_optimizer"] == "momentum"  # the files are from before this option
    real = {row.cell.digest(): row.real_miou for row in first.rows}
    for measurement in measurements.values():
        assert {row.cell.digest(): row.real_miou for row in measurement.rows}.items() <= real.items()
