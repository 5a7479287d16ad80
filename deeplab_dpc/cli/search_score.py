"""The scores of given cells by proxy, for search.py --mode=score."""

import statistics

from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.console import console, print_table
from deeplab_dpc.files import write_json
from deeplab_dpc.search.proxy.score_cells import score_cells


def score(request: Request) -> None:
    """Scores --cells, and writes the table."""
    values, config = request.values, request.config
    table = score_cells(request.cache(), config, values.cells, values.num_seeds, values.train_split)
    rows = [
        (
            name,
            f"{statistics.mean(score.miou for score in scores):.4f}",
            f"{statistics.stdev(score.miou for score in scores):.4f}" if len(scores) > 1 else "-",
            f"{statistics.mean(score.loss for score in scores):.4f}",
            f"{statistics.mean(score.seconds for score in scores):.0f}",
        )
        for name, scores in table.items()
    ]
    title = f"{config.proxy_steps} proxy steps, {values.num_seeds} seed(s)"
    print_table(title, ("name", "mIOU", "spread over seeds", "loss", "seconds"), rows)
    path = request.workdir / f"scores_{config.proxy_steps}_steps.json"
    write_json(path, {name: [score.to_json() for score in scores] for name, scores in table.items()})
    console.print(f"Written: {path}")
