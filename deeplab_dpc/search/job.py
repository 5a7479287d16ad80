"""The job of a search's workers, and the configuration on which all of them must agree."""

import dataclasses
import pathlib
from typing import Any

from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.config.train import DRAWN, InitialWeights
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.search.proxy.feature_cache import FeatureCache
from deeplab_dpc.search.service.membership import BACKBONE_ALONE, START

# The error of a search whose cells are scored on images that it does not have.
NEEDS_IMAGES = f"--proxy_features={END_TO_END} trains on images: give --data_dir."


@dataclasses.dataclass(frozen=True)
class Job:
    """The job of a worker of a search.

    Attributes:
      workdir: directory for the report, and for the runs of finalists.
      cache: features of the frozen backbone.
      config: configuration of the search.
      service: storage and workers of the study.
      model: network in which finalists are trained, with decoder; its cell is replaced.
      data, dataset: data configuration and data set of the contest; None if there is no contest.
      initial: initial weights of the finalists' backbones.
    """

    workdir: pathlib.Path
    cache: FeatureCache
    config: SearchConfig
    service: ServiceConfig
    model: ModelConfig
    data: DataConfig | None = None
    dataset: Dataset | None = None
    initial: InitialWeights = DRAWN

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """Returns the shape (height, width, channels) of the features on which candidates are scored."""
        return self.cache.split(self.config.eval_split).features.shape[1:]

    @property
    def train_split(self) -> str:
        """Returns the split on which cells are trained."""
        return self.data.train_split if self.data else "train"

    @property
    def has_contest(self) -> bool:
        """Returns whether there are finalists, and data to train them on."""
        return bool(self.config.rerank_top_k) and self.data is not None and self.dataset is not None

    def sections(self) -> dict[str, Any]:
        """Returns the configuration that all workers share; it includes the data if cells are scored on images."""
        sections = shared_sections(self.config, self.model, self.cache.path.name)
        return {**sections, "data": self.data} if self.config.proxy_features == END_TO_END else sections

    def records(self) -> dict[str, Any]:
        """Returns a section with the digests of the records, if cells are scored on images."""
        if self.config.proxy_features != END_TO_END or self.data is None or self.dataset is None:
            return {}
        splits = dict.fromkeys([self.data.train_split, self.config.eval_split])
        return {"records": {split: self.dataset.fingerprint(split) for split in splits}}


def shared_sections(config: SearchConfig, model: ModelConfig, features: str | None) -> dict[str, Any]:
    """Returns the configuration that all workers of a search share, by section; `features` is the name of the cache."""
    sections: dict[str, Any] = {"search": config, "model": model, "features": features}
    return sections | ({START: BACKBONE_ALONE} if config.proxy_features == END_TO_END else {})
