"""search.py --propose_only: what would be scored next, and what the rest of the search costs; nothing is written."""

import dataclasses
import math
import statistics
import time

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.quiet import quiet_imports
from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.console import console, print_table
from deeplab_dpc.search import proposal
from deeplab_dpc.search.evaluator import Candidate, OnStep
from deeplab_dpc.search.feature_cache import FeatureCache, open_cache
from deeplab_dpc.search.identity import Worker
from deeplab_dpc.search.ledger import Ledger
from deeplab_dpc.search.membership import join
from deeplab_dpc.search.reporting import words
from deeplab_dpc.search.result import SearchResult
from deeplab_dpc.search.runner import EXTENDABLE, search_result
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.study import SearchStudy

Rows = list[tuple[str, str]]


def propose(request: Request) -> None:
    """Prints it."""
    service, worker = request.service, Worker.current()
    cache = open_cache(request.values.feature_cache) if request.values.feature_cache else None
    if cache is not None:
        shape, num_classes = cache.split(request.config.eval_split).features.shape[1:], cache.num_classes
        disk = sum(file.stat().st_size for file in cache.path.rglob("*") if file.is_file())
    else:
        shape, disk = _planned_cache(request)
        num_classes = request.require_dataset().info.num_classes
    reranking_name = f"{service.study_name}/rerank"
    storage = proposal.copy_of_study(service.storage, request.workdir, [service.study_name, reranking_name])
    study = SearchStudy(storage, service.study_name, request.config, shape, worker, service.lease_seconds)
    # The features' name depends on the backbone's weights, which are not read for this.
    name = cache.path.name if cache else None
    sections = {"search": request.config, "model": request.model_config(num_classes), "features": name}
    join(
        storage,
        study.ledger.study_id,
        service.study_name,
        sections,
        EXTENDABLE if cache else (*EXTENDABLE, "features."),
    )
    cells = proposal.next_cells(study)
    result = search_result(study, Ledger(storage, reranking_name, worker, service.lease_seconds), shape)
    _print_cells(cells, study)
    left = proposal.remainder(study, len(result.reranked), with_reranking=request.dataset is not None)
    seconds, device_time = _device_time(request, cache, result, left.cells, cells)
    journal = proposal.journal_bytes(left.cells, seconds, service.lease_seconds)
    _print_costs(
        [
            ("cells left", f"{left.cells:,} of {study.total:,}"),
            ("proxy steps", f"{left.steps:,}" + (" at most" if request.config.halving_rungs > 1 else "")),
            *device_time,
            *_reranking(result, left),
            ("disk: features", f"{disk / 1e6:,.1f} MB" + ("" if cache else ", unless they are cached")),
            ("disk: journal", f"about {journal / 1e6:,.1f} MB more"),
        ]
    )


def _planned_cache(request: Request) -> tuple[tuple[int, int, int], int]:
    """The shape of the scoring split's features, and the bytes of a cache that is not there."""
    dataset = request.require_dataset()
    with quiet_imports():
        from deeplab_dpc.models.segmenter import build_segmenter
        from deeplab_dpc.search.feature_writer import largest_crop

    values, network = request.values, request.model_config(dataset.info.num_classes)
    model, shapes, disk = build_segmenter(network), {}, 0
    for split in dict.fromkeys([values.train_split, request.config.eval_split]):
        given = flag_groups.size(values, "train_crop_size") if split == values.train_split else None
        size = given or largest_crop(dataset, split, network.output_stride)
        dataset.require_labels(split)
        count = dataset.info.splits[split]
        shapes[split] = model.features_shape((count, *size, 3))
        disk += 2 * math.prod(shapes[split]) + count * math.prod(size)
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


def _device_time(
    request: Request, cache: FeatureCache | None, result: SearchResult, left: int, proposed: list[proposal.ProposedCell]
) -> tuple[float, Rows]:
    """Seconds a cell, by what the study measured, else by a probe of the dearest proposed cell; 0 without."""
    if not left:
        return 0.0, []
    config = request.config
    measured = proposal.seconds_by_worker(result.warm_starts + result.candidates, config)
    if measured:
        each = statistics.mean(measured.values())
        kind = "mean" if config.halving_rungs > 1 else "median"
        rows = [(f"seconds a cell, {worker} ({kind})", f"{seconds:.1f}") for worker, seconds in measured.items()]
    elif proposed and cache is not None and config.proxy_features == "cached":
        dearest = max(proposed, key=lambda one: one.cost.multiply_adds)
        each = _probe(request, cache, dearest.cell)
        note = f"by {proposal.PROBE_STEPS} steps of {dearest.name} on this machine just now: a rough figure"
        rows = [("seconds a cell", f"{each:.1f} ({note})")]
    else:
        return 0.0, [("device time", "not known: nothing was scored yet; with --feature_cache a few steps are tried")]
    rows.append(("device time", words.duration(left * each)))
    for count in dict.fromkeys(min(count, config.lookahead) for count in proposal.PROJECTED_WORKERS):
        rows.append((f"with {words.count(count, 'worker')} like these", words.duration(left * each / count)))
    return each, rows


def _probe(request: Request, cache: FeatureCache, cell: Cell) -> float:
    with quiet_imports():
        from deeplab_dpc.search.proxy import ProxyEvaluator

    short = dataclasses.replace(request.config, proxy_steps=proposal.PROBE_STEPS, halving_rungs=1)
    evaluator = ProxyEvaluator(cache, short, request.values.train_split)

    def score(cell: Cell, on_step: OnStep) -> ProxyScore:
        [score] = evaluator.evaluate([Candidate(cell, on_step)], short.rung_steps)
        return score

    return proposal.probe(score, cell, request.config, time.monotonic)


def _reranking(result: SearchResult, left: proposal.Remainder) -> Rows:
    if not left.reranked:
        return []
    seconds = [item.seconds for item in result.reranked]
    took = words.duration(statistics.median(seconds) * left.reranked) if seconds else "not known: none was trained yet"
    steps = f"{words.count(left.reranked, 'cell')}, {left.rerank_steps:,} steps"
    return [("re-ranking", steps), ("re-ranking, device time", took)]
