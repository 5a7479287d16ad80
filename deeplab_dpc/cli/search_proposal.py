"""The estimate of deeplab-dpc search --propose_only: the next cells to score, and the cost of the rest of the search;
nothing is written.
"""

import dataclasses
import statistics

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.cli.output import quiet_imports
from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.config import DataConfig
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.console import console, print_table
from deeplab_dpc.search import proposal, words
from deeplab_dpc.search.contest.hold_contest import contest_name
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.rounds import contest_rounds
from deeplab_dpc.search.job import shared_sections
from deeplab_dpc.search.proxy.cell_evaluator import Candidate
from deeplab_dpc.search.proxy.feature_cache import FeatureCache, open_cache
from deeplab_dpc.search.reporting import projection
from deeplab_dpc.search.reporting.full_search import holds_for, measured_table, notes, projection_table
from deeplab_dpc.search.reporting.projection import CostModel
from deeplab_dpc.search.runner import search_result
from deeplab_dpc.search.scored import ProxyScore, Scored
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger
from deeplab_dpc.search.service.membership import extendable, join
from deeplab_dpc.search.study import SearchStudy

Rows = list[tuple[str, str]]


def propose(request: Request) -> None:
    """Prints the estimate."""
    service, worker = request.service, Worker.current()
    cache = open_cache(request.flags.feature_cache) if request.flags.feature_cache else None
    if cache is not None:
        shape, num_classes = cache.split(request.config.eval_split).features.shape[1:], cache.num_classes
        disk = sum(file.stat().st_size for file in cache.path.rglob("*") if file.is_file())
    else:
        shape, disk = _planned_cache(request)
        num_classes = request.require_dataset().info.num_classes
    names = [service.study_name, contest_name(service.study_name)]
    storage = proposal.copy_of_study(service.storage, request.workdir, names)
    network = request.model_config(num_classes)
    stride = cache.output_stride if cache else network.output_stride
    study = SearchStudy(storage, service.study_name, request.config, shape, worker, service.lease_seconds, stride)
    # The features' name depends on the backbone's weights, which are not read here.
    name = cache.path.name if cache else None
    sections = shared_sections(request.config, network, name)
    changeable = extendable(request.config)
    join(
        storage,
        study.ledger.study_id,
        service.study_name,
        {**sections, **_data_section(request)},
        changeable if cache else (*changeable, "features."),
    )
    cells = proposal.next_cells(study)
    has_contest = request.dataset is not None and bool(request.config.rerank_top_k)
    result = search_result(study, Ledger(storage, names[1], worker, service.lease_seconds), shape, has_contest)
    _print_cells(cells, study)
    left = proposal.remainder(study, result.contest, has_contest)
    scored = result.warm_starts + result.candidates
    probed = _probe(request, cache, cells) if not scored else []
    model = CostModel.of(scored or probed)
    seconds, device_time = _device_time(request, left, model, scored, probed)
    journal = proposal.journal_bytes(left.cells, seconds, service.lease_seconds)
    _print_costs(
        [
            ("cells left", f"{left.cells:,} of {study.total:,}"),
            ("proxy steps", _steps(left)),
            *device_time,
            *_contest(result, left),
            ("disk: features", f"{disk / 1e6:,.1f} MB" + ("" if cache else ", unless they are cached")),
            ("disk: journal", f"about {journal / 1e6:,.1f} MB more"),
        ]
    )
    if model is not None:
        _print_full_search(model, request.config.proxy_batch_size, shape)


def _data_section(request: Request) -> dict[str, DataConfig]:
    """Returns the data section of the configuration if cells are scored on images; otherwise empty."""
    dataset = request.dataset
    if request.config.proxy_features != END_TO_END or dataset is None:
        return {}
    alignment = request.model_config(dataset.info.num_classes).alignment
    return {"data": request.flags.data.config(dataset, alignment)}


def _planned_cache(request: Request) -> tuple[tuple[int, int, int], int]:
    """Returns the shape of the scoring split's features, and the bytes of a cache that does not exist yet."""
    dataset = request.require_dataset()
    with quiet_imports():
        from deeplab_dpc.models.segmenter import build_segmenter

    model = build_segmenter(request.model_config(dataset.info.num_classes))
    shapes, disk = {}, 0
    for split, plan in request.split_plans(model).items():
        shapes[split] = model.features_shape((plan.rows, *plan.size, 3))
        disk += plan.nbytes(shapes[split])
    return shapes[request.config.eval_split][1:], disk


def _print_cells(cells: list[proposal.ProposedCell], study: SearchStudy) -> None:
    if not cells:
        reason = "all are scored." if study.is_done() else "those that may be drawn now are being scored."
        console.print(f"No cell would be scored now: {reason}")
        return
    rows = [
        (
            proposed.name,
            proposed.draw,
            words.millions(proposed.cost.parameters),
            words.billions(proposed.cost.multiply_adds),
            "{} x {}".format(*proposed.receptive_field),
            proposed.cell.summary(),
        )
        for proposed in cells
    ]
    columns = ("next", "draw", "parameters", "multiply-adds", "receptive field", "cell")
    print_table("What would be scored next", columns, rows)
    if not study.is_done() and len(cells) < proposal.SHOWN_CELLS:
        console.print(
            f"Further cells are drawn from scores that are not known yet (--lookahead={study.config.lookahead})."
        )


def _print_costs(rows: Rows) -> None:
    console.print("What the rest of the search costs", style="bold")
    for name, value in rows:
        console.print(f"  {name:<40}{value}")


def _steps(left: proposal.Remainder) -> str:
    if len(left.plan.rung_steps) == 1:
        return f"{left.most_steps:,}"
    return f"about {left.plan.steps:,.0f}, at most {left.most_steps:,}"


def _device_time(
    request: Request, left: proposal.Remainder, model: CostModel | None, scored: list[Scored], probed: list[Scored]
) -> tuple[float, Rows]:
    """Returns the seconds per remaining cell, 0 if unknown, and the rows of the table on the device time."""
    if not left.cells:
        return 0.0, []
    if model is None:
        return _device_time_untimed(request, left, scored, probed)
    device = projection.device_seconds(model, left.plan)
    rows = [("device time", _duration(device))]
    for count in _worker_counts(request):
        wall = projection.wall_seconds(model, left.plan, count)
        rows.append((f"with {words.count(count, 'worker')} like {'this' if probed else 'these'}", _duration(wall)))
    return device.typical / left.cells, rows


def _device_time_untimed(
    request: Request, left: proposal.Remainder, scored: list[Scored], probed: list[Scored]
) -> tuple[float, Rows]:
    """Returns the same as `_device_time` without the seconds per step, from the seconds of whole scored cells."""
    if not scored:
        tried = "the steps that were tried have no timing" if probed else "with --feature_cache a few steps are tried"
        return 0.0, [("device time", f"not known: nothing was scored yet; {tried}")]
    measured = proposal.seconds_by_worker(scored, request.config)
    each = statistics.mean(measured.values())
    kind = "mean" if request.config.halving_rungs > 1 else "median"
    rows = [(f"seconds a cell, {worker} ({kind})", f"{seconds:.1f}") for worker, seconds in measured.items()]
    rows.append(("device time", words.duration(left.cells * each)))
    rows += [
        (f"with {words.count(count, 'worker')} like these", words.duration(left.cells * each / count))
        for count in _worker_counts(request)
    ]
    return each, [*rows, ("a full search", "unknown: these scores do not contain the seconds per step")]


def _worker_counts(request: Request) -> list[int]:
    return list(dict.fromkeys(min(count, request.config.lookahead) for count in proposal.PROJECTED_WORKERS))


def _duration(estimate: projection.Estimate) -> str:
    low, high = words.duration(estimate.low), words.duration(estimate.high)
    return f"{words.duration(estimate.typical)} ({low} to {high})"


def _print_full_search(model: CostModel, batch_size: int, feature_shape: tuple[int, int, int]) -> None:
    console.print()
    print_table(*measured_table(model))
    print_table(*projection_table(model))
    for note in (*notes(model), holds_for(batch_size, feature_shape)):
        console.print(note)


def _probe(request: Request, cache: FeatureCache | None, proposed: list[proposal.ProposedCell]) -> list[Scored]:
    """Returns the scores of two of the cells after a few steps; empty if there are no cells or no features to try."""
    if not proposed or cache is None or request.config.proxy_features == END_TO_END:
        return []
    with quiet_imports():
        from deeplab_dpc.search.proxy.proxy_evaluator import ProxyEvaluator

    short = dataclasses.replace(request.config, proxy_steps=proposal.PROBE_STEPS, halving_rungs=1)
    evaluator = ProxyEvaluator(cache, short, request.flags.data.train_split)

    def score(cell: Cell) -> ProxyScore:
        [score] = evaluator.evaluate([Candidate(cell)], short.rung_steps)
        return score

    dearest, cheapest = proposal.probed_cells(proposed)
    both = (
        dearest.name if cheapest is dearest else f"{dearest.name} and {cheapest.name} (most and fewest multiply-adds)"
    )
    console.print(
        f"Nothing is scored yet: {proposal.PROBE_STEPS} steps of {both} are tried here. What follows is rough."
    )
    return proposal.probe(score, dearest, cheapest)


def _contest(result: SearchResult, left: proposal.Remainder) -> Rows:
    if not left.finalists:
        return []
    rounds = contest_rounds(result.config)
    budgets = ", ".join(f"{one.steps:,} steps x {one.seeds}" for one in rounds)
    said = f"{words.count(left.finalists, 'finalist')} ({budgets}), {left.contest_steps:,} steps at most"
    trained = sum(standing.steps * len(standing.mious) for standing in result.standings)
    seconds = sum(standing.seconds for standing in result.standings)
    took = "not known: none was trained yet"
    if trained:
        took = f"{words.duration(seconds / trained * left.contest_steps)} at most"
    return [("contest", said), ("contest, device time", took)]
