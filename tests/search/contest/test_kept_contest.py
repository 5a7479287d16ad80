"""The contest that the repository keeps: docs/results.md says of it what its files say."""

import json
import pathlib

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import load_cell

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "benchmarks" / "contests" / "camvid_crop_321"


def test_results_page_has_the_scores_of_the_kept_contest():
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").replace("**", "")
    section = page[page.index("# A contest on CamVid") : page.index("# What a contest's probabilities")]
    for row in rows:
        (line,) = [line for line in section.splitlines() if f"| {Cell.from_json(row['cell']).summary()} |" in line]
        scores = f"{row['reranked_miou']:.4f} | {100 * row['contest']['probability']:.0f} %"
        assert f"| {row['proxy_miou']:.4f} |" in line
        assert scores in line


def test_winner_of_the_kept_contest_has_the_highest_miou_and_is_the_cell_beside_it():
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    best = json.loads((FOLDER / "verdict.json").read_text(encoding="utf-8"))["best"]
    assert max(rows, key=lambda row: row["reranked_miou"])["name"] == best["name"] == "neighbour_3.json"
    assert load_cell(FOLDER / best["name"]).to_json() == best["cell"]


def test_results_page_has_the_scores_of_the_contest_of_four_cells():
    rows = json.loads((FOLDER / "four_cells" / "results.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").replace("**", "")
    section = page[page.index("All four with two seeds") :]
    labels = {"conv1x1": "1x1", "aspp": "ASPP, rates 6, 12, 18", "psp": "PSP", "neighbour_3": "neighbour 3"}
    assert len(rows) == len(labels)
    for row in rows:
        values = (*row["contest"]["miou_by_seed"], row["reranked_miou"])
        cells = [f"{100 * value:.2f}" for value in values]
        probability = f"{100 * row['contest']['probability']:.0f} %"
        assert f"| {labels[row['name']]} | {' | '.join(cells)} | {probability} |" in section
    verdict = json.loads((FOLDER / "four_cells" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["sentence"] in section


def test_results_page_has_the_scores_of_the_contest_with_more_seeds():
    rows = json.loads((FOLDER / "seeds" / "results.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").replace("**", "")
    section = page[page.index("The winner and ASPP with three seeds") :]
    for row, label in zip(rows, ("ASPP, rates 6, 12, 18", "neighbour 3"), strict=True):
        values = (*row["contest"]["miou_by_seed"], row["reranked_miou"])
        cells = [f"{100 * value:.2f}" for value in values]
        assert f"| {label} | {' | '.join(cells)} | {100 * row['contest']['probability']:.0f} % |" in section
    verdict = json.loads((FOLDER / "seeds" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["sentence"] in section
