"""A search says what it would do, and changes nothing."""

import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.proposal import (
    Remainder,
    copy_of_study,
    journal_bytes,
    next_cells,
    probe,
    probed_cells,
    remainder,
    seconds_by_worker,
)
from deeplab_dpc.search.reporting.projection import CellCost, CostModel, Plan
from deeplab_dpc.search.scored import ProxyScore, Scored
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.storage import JOURNAL, open_storage
from deeplab_dpc.search.study import SearchStudy

CONFIG = SearchConfig(
    num_branches=2, num_candidates=6, warm_starts=("conv1x1",), lookahead=3, proxy_steps=10, rerank_top_k=2, seed=1
)
SHAPE = (24, 31, 320)


def _study(storage, config=CONFIG):
    worker = Worker("host", 7, None, None, "a")
    study = SearchStudy(storage, "search", config, SHAPE, worker, 60.0)
    study.ledger.refresh()
    return study


def _score(study, count):
    """Scores the next cells."""
    for _ in range(count):
        lease = study.ledger.claim(study.open_tasks())
        study.ledger.finish(lease, [0.5], ProxyScore(0.5, 0.1, 2.0, 1.0, 10).to_json())
        study.ledger.refresh()


def _proposed(storage, config=CONFIG):
    study = _study(storage, config)
    return [(cell.name, cell.draw, cell.cell) for cell in next_cells(study)], study


def test_absent_study_is_proposed_from_its_beginning_and_nothing_is_made(tmp_path):
    proposed, study = _proposed(copy_of_study(None, tmp_path / "absent", ["search"]))
    assert [name for name, _, _ in proposed] == ["conv1x1", "cell 0", "cell 1"]
    left = remainder(study, None, has_contest=True)
    assert left == Remainder(7, Plan(6, (10,), 4, given=1), 3, 3 * 2 * (400 + 40))  # two seeds, and falls of 40
    assert (left.plan.steps, left.most_steps) == (70, 70)
    copy_of_study(f"sqlite:///{tmp_path}/absent.db", tmp_path, ["search"])
    assert list(tmp_path.iterdir()) == []


def test_proposed_cells_are_those_that_are_claimed_then(tmp_path):
    study = _study(open_storage(None, tmp_path, shared=False))
    _score(study, 4)
    proposed, _ = _proposed(copy_of_study(None, tmp_path, ["search"]))
    assert [(task.attributes["name"], task.attributes["cell"]) for task in study.open_tasks()] == [
        (name, cell.to_json()) for name, _, cell in proposed
    ]
    assert [name for name, _, _ in proposed] == ["cell 3", "cell 4", "cell 5"]
    assert remainder(study, None, has_contest=False).plan == Plan(3, (10,), 4, given=0)


def test_cell_that_is_being_scored_is_not_proposed_and_its_lease_stays(tmp_path):
    study = _study(open_storage(None, tmp_path, shared=False))
    lease = study.ledger.claim(study.open_tasks())
    before = (tmp_path / JOURNAL).read_bytes()
    proposed, asked = _proposed(copy_of_study(None, tmp_path, ["search"]))
    assert [name for name, _, _ in proposed] == ["cell 0", "cell 1"]
    assert remainder(asked, None, has_contest=False) == Remainder(7, Plan(6, (10,), 4, given=1), 0, 0)
    assert (tmp_path / JOURNAL).read_bytes() == before
    assert study.ledger.finish(lease, [0.5], ProxyScore(0.5, 0.1, 2.0, 1.0, 10).to_json())


def test_torn_journal_is_read_and_not_repaired(tmp_path, capsys):
    _score(_study(open_storage(None, tmp_path, shared=False)), 2)
    torn = (tmp_path / JOURNAL).read_bytes() + b'{"op_code": 4'
    (tmp_path / JOURNAL).write_bytes(torn)
    for beside in ("lock", "length"):
        (tmp_path / f"{JOURNAL}.{beside}").unlink()
    proposed, _ = _proposed(copy_of_study(None, tmp_path, ["search"]))
    said = " ".join(capsys.readouterr().out.split())
    assert said == f"The last line of the journal {tmp_path}/{JOURNAL} is damaged and is not read."
    assert proposed[0][0] == "cell 1"
    assert (tmp_path / JOURNAL).read_bytes() == torn
    assert [path.name for path in tmp_path.iterdir()] == [JOURNAL]


def test_costs_of_a_cell(tmp_path):
    (cell,) = next_cells(_study(copy_of_study(None, tmp_path, []), SearchConfig(lookahead=1, warm_starts=("conv1x1",))))
    # 320 to 256 and the projection of 256 to 256 channels.
    assert cell.cost.multiply_adds == 24 * 31 * (320 * 256 + 256 * 256)
    assert cell.receptive_field == (1, 1)


def test_small_space_limits_what_is_left(tmp_path):
    # One branch: 1x1, 3x3 at rate 1, and the pooling of the whole.
    config = SearchConfig(
        num_branches=1, cell_rates=(1,), cell_grids=(1,), warm_starts=(), halving_rungs=2, proxy_steps=8
    )
    study = _study(copy_of_study(None, tmp_path, []), config)
    left = remainder(study, None, has_contest=True)
    assert left == Remainder(3, Plan(3, (2, 8), 4), 3, 3 * 2 * (400 + 40))
    assert (left.plan.steps, left.most_steps) == (3 * (2 + 8 / 4), 3 * (2 + 8))


def test_no_storage_is_refused(tmp_path):
    with pytest.raises(UserError, match="--storage=nowhere is not a storage"):
        copy_of_study("nowhere", tmp_path, ["search"])


def test_seconds_of_a_worker_are_the_median_or_the_mean_where_cells_are_stopped():
    cell = load_cell("conv1x1")
    scored = [
        Scored("c", cell, "uniform", ProxyScore(0.1, 0.1, seconds), worker)
        for seconds, worker in ((1.0, "a"), (2.0, "a"), (9.0, "a"), (5.0, "b"))
    ]
    assert seconds_by_worker(scored, CONFIG) == {"a": 2.0, "b": 5.0}
    halving = SearchConfig(halving_rungs=2)
    assert seconds_by_worker(scored, halving) == {"a": 4.0, "b": 5.0}


def test_probe_tries_the_dearest_and_the_cheapest_drawn_cell(tmp_path):
    config = SearchConfig(warm_starts=("conv1x1",), lookahead=4, seed=1)
    warm_start, *drawn = next_cells(_study(copy_of_study(None, tmp_path, []), config))
    costs = [one.cost.multiply_adds for one in drawn]
    assert warm_start.cost.multiply_adds < min(costs) < max(costs)
    dearest, cheapest = probed_cells([warm_start, *drawn])
    assert (dearest.cost.multiply_adds, cheapest.cost.multiply_adds) == (max(costs), min(costs))
    assert probed_cells([warm_start, drawn[0]]) == (drawn[0], warm_start)
    assert probed_cells([warm_start]) == (warm_start, warm_start)


def test_probe_counts_compilation_as_the_start_of_a_worker(tmp_path):
    _, *drawn = next_cells(_study(copy_of_study(None, tmp_path, [])))
    dearest, cheapest = probed_cells(drawn)
    # Of 100 steps: compilation of 20 s, 1 s beside the steps of 20 ms, and 10 ms.
    times = iter([(23.0, 0.02), (3.0, 0.02), (2.0, 0.01)])
    tried = []

    def score(cell):
        tried.append(cell)
        seconds, step_seconds = next(times)
        return ProxyScore(0.5, 0.1, seconds, steps=100, rungs=((100, 0.5),), step_seconds=step_seconds)

    model = CostModel.of(probe(score, dearest, cheapest))
    assert tried == [dearest.cell, dearest.cell, cheapest.cell]
    assert model == CostModel((CellCost("this machine", 0.02, 1.0), CellCost("this machine", 0.01, 1.0)), 20.0)


def test_probe_of_a_single_cell_is_measured_at_its_second_training(tmp_path):
    (cell,) = next_cells(_study(copy_of_study(None, tmp_path, []), SearchConfig(lookahead=1, warm_starts=("conv1x1",))))
    times = iter([23.0, 3.0])
    probed = probe(lambda _: ProxyScore(0.5, 0.1, next(times), steps=100, step_seconds=0.02), cell, cell)
    assert CostModel.of(probed) == CostModel((CellCost("this machine", 0.02, 1.0),), 20.0)


def test_journal_grows_by_cells_and_renewals():
    # A renewal in 100 s: 60 of 120 bytes for each cell.
    assert journal_bytes(10, 6000.0, lease_seconds=300.0) == 10 * (2600 + 60 * 120)
