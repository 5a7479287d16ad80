"""search.py --mode=fidelity, trained end to end: twice on the same real trainings, by one proxy and by another."""

import json

import pytest

from deeplab_dpc.cli.main import execute
from deeplab_dpc.files import write_json

# A genotype of one cell: two blocks of one filter are traced in a second.
NETWORK = [
    "--model_variant=auto_deeplab",
    "--genotype_json=tiny.json",
    "--nas_stem_output_num_conv_filters=2",
    "--train_crop_size=33,33",
]
REAL = ["--rerank_steps=2", "--rerank_batch_size=2", "--fidelity_top_k=0", "--nofidelity_subsets", "--fidelity_mixed=3"]
PROXY = ["--num_branches=1", "--warm_starts=conv1x1", "--proxy_steps=4", "--proxy_batch_size=2"]


@pytest.fixture
def fidelity(tmp_path, monkeypatch, capsys, shapes):
    from tiny_network import GENOTYPE

    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "tiny.json", GENOTYPE.to_json())

    def run(workdir, *flags):
        given = [
            "--mode=fidelity",
            f"--data_dir={shapes.path}",
            f"--workdir={workdir}",
            *NETWORK,
            *REAL,
            *PROXY,
            *flags,
        ]
        status = execute("search", given)
        captured = capsys.readouterr()
        return status, " ".join((captured.err if status else captured.out).split())

    return run


def test_two_proxies_are_measured_on_the_same_real_trainings(fidelity, tmp_path):
    status, said = fidelity("S1")
    assert status == 0, said
    assert "S1/fidelity/report.html" in said
    first = json.loads((tmp_path / "S1/fidelity/results.json").read_text())
    assert [row["name"] for row in first["rows"]] == ["conv1x1", "uniform 1", "neighbour 1"]
    views = ("--feature_views=2", "--proxy_score_points=2", "--proxy_signal=cross_entropy")
    status, said = fidelity("S2", *views, "--fidelity_compare=S1")
    assert status == 0, said
    second = json.loads((tmp_path / "S2/fidelity/results.json").read_text())
    assert [row["reals"] for row in second["rows"]] == [row["reals"] for row in first["rows"]]
    assert not (tmp_path / "S2" / "contest").exists()
    assert second["proxy"] == "4 steps of 2, rate 0.01, float32, cached features, 2 views, ranked by cross_entropy"
    assert [len(row["proxies"][0]["points"]) for row in second["rows"]] == [2] * 3
    page = (tmp_path / "S2/fidelity/report.html").read_text()
    assert "Comparison of the proxies, on the 3 cells that all have" in page
    assert "regret@3" in page
    # Another protocol of the real trainings cannot be compared with these.
    status, said = fidelity("S3", "--rerank_learning_rate=0.02", "--fidelity_compare=S1")
    assert status == 2
    assert "the real trainings in S1 had another protocol" in said
    assert "rerank_learning_rate (there 0.001, here 0.02)" in said
    status, said = fidelity("S4", "--fidelity_compare=nowhere")
    assert (status, "nowhere holds no finished measurement" in said) == (2, True)
    assert not (tmp_path / "S4").exists()
