"""The result of a measurement of the proxy's fidelity: cells with both scores (arXiv:1809.04184, Fig. 3b and 4b)."""

import csv
import dataclasses
import math
import pathlib
import statistics
from typing import Any, Self

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.config import FidelityConfig, SearchConfig
from deeplab_dpc.config.train import MOMENTUM
from deeplab_dpc.files import atomic_path, read_json, write_json
from deeplab_dpc.search.scored import ProxyScore

# The groups: subsets of ASPP, cells of every kind, and the best of a search by proxy.
GROUPS = SUBSET, MIXED, TOP = ("subset", "mixed", "top")
FOLDER = "fidelity"  # folder in the workdir
RESULTS_FILE, TABLE_FILE = "results.json", "fidelity.csv"


@dataclasses.dataclass(frozen=True)
class RealScore:
    """The score of a cell by the normal trainer.

    Attributes:
      miou: mIOU after end-to-end training, in [0, 1].
      seconds: seconds of training and evaluation.
    """

    miou: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class FidelityRow:
    """A cell with both scores.

    Attributes:
      name: name of a subset ('1x1+6'), of a mixed cell ('uniform 3'), or of a cell of the search ('cell 7').
      group: one of GROUPS.
      proxies, reals: proxy and real scores of each seed, in order.
      cost: cost of the cell with its projection.
      receptive_field: (height, width) in feature-map cells.
    """

    name: str
    group: str
    cell: Cell
    proxies: tuple[ProxyScore, ...]
    reals: tuple[RealScore, ...]
    cost: Cost
    receptive_field: tuple[int, int]

    @property
    def proxy(self) -> ProxyScore:
        """Returns the proxy score of the first seed, which a search would have seen."""
        return self.proxies[0]

    @property
    def mean_proxy_miou(self) -> float:
        return statistics.fmean(score.miou for score in self.proxies)

    @property
    def real_miou(self) -> float:
        """Returns the mean real mIOU over the seeds."""
        return statistics.fmean(score.miou for score in self.reals)

    @property
    def proxy_seconds(self) -> float:
        return math.fsum(score.seconds for score in self.proxies)

    @property
    def real_seconds(self) -> float:
        return math.fsum(score.seconds for score in self.reals)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "group": self.group,
            "cell": self.cell.to_json(),
            "proxies": [score.to_json() for score in self.proxies],
            "reals": [dataclasses.asdict(score) for score in self.reals],
            "cost": dataclasses.asdict(self.cost),
            "receptive_field": list(self.receptive_field),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        height, width = value["receptive_field"]
        return cls(
            value["name"],
            value["group"],
            Cell.from_json(value["cell"]),
            tuple(map(ProxyScore.from_json, value["proxies"])),
            tuple(RealScore(**score) for score in value["reals"]),
            Cost(**value["cost"]),
            (height, width),
        )


@dataclasses.dataclass(frozen=True)
class FidelityResult:
    """A measurement.

    Attributes:
      search: configuration of the search, with the settings of the proxy and of the real training.
      config: configuration of the measurement, with its cells and the number of seeds.
      rows: rows of the cells that have all their scores.
      missing: names of the cells that were given up.
      proxy: settings of the proxy as text.
      protocol: settings of the real trainings, by name, as JSON; the real scores of two measurements with the same
        protocol are comparable. Empty for measurements of an earlier version.
    """

    search: SearchConfig
    config: FidelityConfig
    rows: tuple[FidelityRow, ...]
    missing: tuple[str, ...] = ()
    proxy: str = ""
    protocol: dict[str, Any] = dataclasses.field(default_factory=dict)

    def group(self, name: str) -> list[FidelityRow]:
        return [row for row in self.rows if row.group == name]

    def to_json(self) -> dict[str, Any]:
        return {
            "search": self.search.to_json(),
            "config": self.config.to_json(),
            "rows": [row.to_json() for row in self.rows],
            "missing": list(self.missing),
            "proxy": self.proxy,
            "protocol": self.protocol,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        # Measurements of earlier versions lack the optimizer, which was momentum.
        search = SearchConfig.from_json({"rerank_optimizer": MOMENTUM, **value["search"]})
        protocol = value.get("protocol", {})
        if protocol:
            protocol = {"rerank_optimizer": search.rerank_optimizer, **protocol}
        return cls(
            search,
            FidelityConfig.from_json(value["config"]),
            tuple(map(FidelityRow.from_json, value["rows"])),
            tuple(value["missing"]),
            value.get("proxy", ""),
            protocol,
        )


def write_rows(folder: pathlib.Path, result: FidelityResult) -> None:
    """Writes results.json, which `read_fidelity` reads, and fidelity.csv, with one line per cell."""
    write_json(folder / RESULTS_FILE, result.to_json())
    with atomic_path(folder / TABLE_FILE) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        lines = [_line(row) for row in result.rows]
        writer = csv.DictWriter(stream, list(lines[0]) if lines else ["name"])
        writer.writeheader()
        writer.writerows(lines)


def read_fidelity(workdir: pathlib.Path) -> FidelityResult | None:
    """Returns the measurement in the workdir of a search; None if there is none."""
    path = workdir / FOLDER / RESULTS_FILE
    return FidelityResult.from_json(read_json(path, "fidelity measurement")) if path.exists() else None


def _line(row: FidelityRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "group": row.group,
        "cell": row.cell.summary(),
        "digest": row.cell.digest(),
        **{f"proxy_miou_{seed}": score.miou for seed, score in enumerate(row.proxies)},
        **{f"real_miou_{seed}": score.miou for seed, score in enumerate(row.reals)},
        "proxy_loss": row.proxy.loss,
        "proxy_loss_sum": row.proxy.loss_sum,
        "proxy_seconds": row.proxy_seconds,
        "real_seconds": row.real_seconds,
        "parameters": row.cost.parameters,
        "multiply_adds": row.cost.multiply_adds,
        "receptive_field_height": row.receptive_field[0],
        "receptive_field_width": row.receptive_field[1],
    }
