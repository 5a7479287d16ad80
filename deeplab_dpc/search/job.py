"""What a worker of a search is given, and what all of its workers must agree on."""

import dataclasses
import pathlib
from typing import Any

from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.search.proxy.feature_cache import FeatureCache
from deeplab_dpc.search.service.membership import BACKBONE_ALONE, START


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker of a search is given.

    Attributes:
      workdir: for its report, and for the runs of finalists.
      cache: features of the frozen backbone.
      config: configuration of the search.
      service: where the study is kept.
      model: the network that finalists are trained in, with decoder; its cell is replaced.
      data, dataset: for the contest; None where there is none.
      tf_initial_checkpoint, restore_moving_averages: where the backbones of finalists start.
    """

    workdir: pathlib.Path
    cache: FeatureCache
    config: SearchConfig
    service: ServiceConfig
    model: ModelConfig
    data: DataConfig | None = None
    dataset: Dataset | None = None
    tf_initial_checkpoint: str | None = None
    restore_moving_averages: bool = False

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the features that candidates are scored on."""
        return self.cache.split(self.config.eval_split).features.shape[1:]

    @property
    def train_split(self) -> str:
        """The split that cells are trained on."""
        return self.data.train_split if self.data else "train"

    @property
    def has_contest(self) -> bool:
        """Whether there are finalists, and data to train them on."""
        return bool(self.config.rerank_top_k) and self.data is not None and self.dataset is not None

    def sections(self) -> dict[str, Any]:
        """Returns the configuration that all workers share; with the data, where cells are scored on images."""
        sections = shared_sections(self.config, self.model, self.cache.path.name)
        return {**sections, "data": self.data} if self.config.proxy_features == END_TO_END else sections

    def records(self) -> dict[str, Any]:
        """Returns a section with the digests of the records, where cells are scored on images."""
        if self.config.proxy_features != END_TO_END or self.data is None or self.dataset is None:
            return {}
        splits = dict.fromkeys([self.data.train_split, self.config.eval_split])
        return {"records": {split: self.dataset.fingerprint(split) for split in splits}}


def shared_sections(config: SearchConfig, model: ModelConfig, features: str | None) -> dict[str, Any]:
    """Returns the configuration that all workers of a search share, by section; `features` is the name of the cache."""
    sections: dict[str, Any] = {"search": config, "model": model, "features": features}
    return sections | ({START: BACKBONE_ALONE} if config.proxy_features == END_TO_END else {})
