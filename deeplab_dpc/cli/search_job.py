"""The flags shared by the modes of deeplab-dpc search, read and checked, and the objects made from them."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any, Self

from deeplab_dpc.arch.fitting import aspp_name, feature_cells, fitted_aspp_rates, fitted_rates
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.search import Flags
from deeplab_dpc.cli.flags.shared import NetworkFlags
from deeplab_dpc.cli.output import quiet_imports
from deeplab_dpc.cli.search_checks import check_request
from deeplab_dpc.cli.start_backbone import backbone_of
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.config.base import one_weight_a_class
from deeplab_dpc.config.search import ADAPTED, END_TO_END
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import require_folder
from deeplab_dpc.run_config import open_run, require_kind
from deeplab_dpc.search.job import NEEDS_IMAGES, Job
from deeplab_dpc.search.proxy.feature_cache import FeatureCache, open_cache
from deeplab_dpc.search.service import local_workers
from deeplab_dpc.search.service.membership import extendable
from deeplab_dpc.search.study import check_space

if TYPE_CHECKING:  # a search on a complete cache needs no Keras and TensorFlow until it trains
    from deeplab_dpc.models.segmenter import Segmenter
    from deeplab_dpc.search.proxy.feature_writer import SplitPlan

# Environment variable of the storage if --storage is not given, so that no command line need contain its password.
STORAGE_VARIABLE = "DEEPLAB_DPC_STORAGE"
# Options of ModelConfig that a network with a cell does not use.
OPTIONS_OF_ASPP = (
    "atrous_rates",
    "add_image_level_feature",
    "image_pooling_crop_size",
    "image_pooling_stride",
    "aspp_with_separable_conv",
    "aspp_convs_filters",
    "aspp_with_concat_projection",
    "aspp_with_squeeze_and_excitation",
    "image_se_uses_qsigmoid",
)


def _fitted(flags: Flags, network: NetworkFlags, config: SearchConfig, dataset: Dataset) -> SearchConfig:
    """Returns the configuration with rates of the space, and of the warm start ASPP, that can be trained on the crops.

    Given values are kept. ASPP is kept if the crops are as large as the images, so that training sees the same
    padding.
    """
    alignment = network.config(dataset.info.num_classes).alignment
    crop = min(flags.data.config(dataset, alignment).train_crop_size)
    cells = feature_cells(crop)
    changes: dict[str, Any] = {}
    if "cell_rates" not in flags.given:
        changes["cell_rates"] = fitted_rates(config.cell_rates, cells)
    if "warm_starts" not in flags.given and crop < min(dataset.max_size(flags.data.train_split)):
        aspp = aspp_name(fitted_aspp_rates(cells))
        changes["warm_starts"] = tuple(aspp if name == "aspp" else name for name in config.warm_starts)
    return dataclasses.replace(config, **changes)


@dataclasses.dataclass(frozen=True)
class Request:
    """The flags of a search.

    Attributes:
      flags: flags of the command.
      network: flags of the network, with the backbone of --tf_initial_checkpoint.
      workdir: run directory of the search.
      config, service: configurations of the search and of its study.
      dataset: data set; None without --data_dir.
    """

    flags: Flags
    network: NetworkFlags
    workdir: pathlib.Path
    config: SearchConfig
    service: ServiceConfig
    dataset: Dataset | None

    @classmethod
    def from_flags(cls, flags: Flags) -> Self:
        """Returns the request of the flags, checked as far as is possible without a feature cache.

        Raises:
          UserError: if flags are missing, invalid or contradict each other, or the workdir is not that of a search.
        """
        workdir, start, network = required("workdir", flags.workdir), flags.start, flags.network
        require_folder(workdir, "workdir")
        require_kind(pathlib.Path(workdir), "search")
        config = flags.search.make()
        storage = flags.service["storage"] or os.environ.get(STORAGE_VARIABLE) or None
        service = flags.service.make(storage=storage)
        if network.dense_prediction_cell_json:
            raise UserError(
                f"--dense_prediction_cell_json={network.dense_prediction_cell_json} has no meaning for a search, which "
                "tries many cells; give the cell as one of --warm_starts, and it is a finalist whatever its score."
            )
        if start.restore_moving_averages and not start.tf_initial_checkpoint:
            raise UserError("--restore_moving_averages is for --tf_initial_checkpoint; give that too.")
        dataset = flags.data.found() if flags.data.data_dir else None
        if dataset is not None:
            verbose = not local_workers.is_child()
            network = network.with_defaults(backbone_of(start.tf_initial_checkpoint, network, workdir, verbose))
            config = _fitted(flags, network, config, dataset)
        if dataset is None and flags.feature_cache and config.rerank_top_k and flags.mode == "search":
            raise UserError(
                "--data_dir is required for the contest; pass --rerank_top_k=0 to search without a contest."
            )
        trains = flags.mode in ("search", "fidelity") and not flags.propose_only
        if dataset is None and config.proxy_features == END_TO_END and trains:
            raise UserError(NEEDS_IMAGES)
        if service.workers > 1 and flags.mode != "search":
            raise UserError(f"--workers={service.workers} is for --mode=search, not for --mode={flags.mode}.")
        check_request(flags, network, config, service, dataset)
        return cls(flags, network, pathlib.Path(workdir), config, service, dataset)

    @property
    def initial(self) -> InitialWeights:
        """Returns the initial weights of the backbone."""
        return InitialWeights(self.flags.start.tf_initial_checkpoint or None, self.flags.start.restore_moving_averages)

    def print_what_was_chosen(self) -> None:
        """Prints which flags of the network have no effect, and which values of the search were fitted to the crops."""
        given = [f"--{name}" for name in OPTIONS_OF_ASPP if name in self.flags.given]
        if given:
            console.print(
                f"{', '.join(given)}: no effect here, since every finalist has a cell in place of DeepLab's ASPP; "
                "the cell aspp, with rates 6, 12 and 18, is the equivalent."
            )
        default, config = SearchConfig(), self.config
        fitted = []
        if config.cell_rates != default.cell_rates and "cell_rates" not in self.flags.given:
            fitted.append(f"--cell_rates={','.join(map(str, config.cell_rates))}")
        if config.warm_starts != default.warm_starts and "warm_starts" not in self.flags.given:
            fitted.append(f"--warm_starts={','.join(config.warm_starts)}")
        if fitted:
            console.print(
                f"{' and '.join(fitted)} by the size of the crops: at larger rates most of what an outer tap of a "
                "convolution sees there is padding; give the flags for others."
            )

    def model_config(self, num_classes: int) -> ModelConfig:
        """Returns the configuration of the network whose backbone computes the features, and in which finalists are
        trained with their own cells.
        """
        return self.network.config(num_classes)

    def require_dataset(self) -> Dataset:
        """Returns the data set from which features are computed."""
        if self.dataset is None:
            raise UserError("--data_dir is required (or --feature_cache, to search on features cached before).")
        return self.dataset

    def cache(self) -> FeatureCache:
        """Returns the features of --feature_cache, or those of the data, which are computed if they do not exist.

        Raises:
          UserError: if neither --feature_cache nor --data_dir is given, the cache is incomplete, the checkpoint does
            not fit the backbone, or the space of cells does not fit the features.
        """
        if self.flags.feature_cache:
            if self.config.proxy_features == ADAPTED:
                raise UserError(
                    f"--proxy_features={ADAPTED} caches the features of an adapted backbone, but --feature_cache "
                    "already has features: leave out one of them."
                )
            return open_cache(self.flags.feature_cache)
        dataset = self.require_dataset()
        # Imported here, since records need TensorFlow, and a search on a complete cache does not.
        with quiet_imports():
            import keras

            from deeplab_dpc.checkpoint.restore import restore_backbone
            from deeplab_dpc.models.segmenter import build_segmenter
            from deeplab_dpc.search.proxy.feature_writer import cache_features

            # Without a checkpoint the weights are random, and must be the same when the search is continued.
            keras.utils.set_random_seed(self.config.seed)
        model = build_segmenter(self.model_config(dataset.info.num_classes))
        plans = self.split_plans(model)
        scoring = plans[self.config.eval_split]
        shape = model.features_shape((scoring.rows, *scoring.size, 3))[1:]
        check_space(self.config, shape, model.config.output_stride)
        if self.config.proxy_features == ADAPTED:
            console.print(str(restore_backbone(model, str(self._adapted_backbone(model.config)), False)))
        elif self.initial.checkpoint is not None:
            console.print(str(restore_backbone(model, self.initial.checkpoint, self.initial.moving_averages)))
        else:
            console.print("No --tf_initial_checkpoint: the features are those of an untrained backbone.")
        return cache_features(self.workdir / "features", model, dataset, plans, self.config.seed)

    def _adapted_backbone(self, model_config: ModelConfig) -> pathlib.Path:
        from deeplab_dpc.search.proxy.adapted_backbone import adapt_backbone

        dataset = self.require_dataset()
        data = self.flags.data.config(dataset, model_config.alignment)
        return adapt_backbone(self.workdir, model_config, data, self.config, dataset, self.initial)

    def split_plans(self, model: "Segmenter") -> "dict[str, SplitPlan]":
        """Returns the plans of the feature cache for the training split and for the split that scores.

        The images of the split that scores are not augmented, as in an evaluation.

        Args:
          model: network whose backbone computes the features.

        Raises:
          UserError: if --data_dir is missing, or --feature_views is negative or would augment the split that scores.
        """
        with quiet_imports():
            from deeplab_dpc.data.preprocess import Augmentation
            from deeplab_dpc.search.proxy.feature_writer import SplitPlan

        flags, dataset, alignment = self.flags, self.require_dataset(), model.config.alignment
        train_split = flags.data.train_split
        if flags.feature_views < 0:
            raise UserError(f"--feature_views must be >= 0, got {flags.feature_views}.")
        if flags.feature_views and train_split == self.config.eval_split:
            raise UserError(
                f"--feature_views={flags.feature_views} augments the split {train_split}, which also scores; "
                "give another --eval_split, or --feature_views=0."
            )
        augmentation = Augmentation.from_config(flags.data.config(dataset, alignment), model.config.mean_pixel)
        return {
            self.config.eval_split: SplitPlan.of(dataset, self.config.eval_split, alignment),
            train_split: SplitPlan.of(
                dataset, train_split, alignment, flags.data.train_crop_size, flags.feature_views, augmentation
            ),
        }

    def job(self, cache: FeatureCache) -> Job:
        """Returns the job of a worker.

        Args:
          cache: features of the search.

        Raises:
          UserError: if the number of label weights is not that of the classes.
        """
        one_weight_a_class(self.config.label_weights, cache.num_classes)
        model_config = self.model_config(cache.num_classes)
        data: DataConfig | None = None
        if self.dataset is not None:
            data = self.flags.data.config(self.dataset, model_config.alignment)
        return Job(
            self.workdir,
            cache,
            self.config,
            self.service,
            model_config,
            data,
            self.dataset,
            self.initial,
        )

    def claimed_job(self, cache: FeatureCache) -> Job:
        """Returns the job of a worker, with the workdir claimed for it."""
        job = self.job(cache)
        self.claim(job)
        return job

    def claim(self, job: Job) -> None:
        """Writes the job's configuration to the workdir, or compares it with the existing one."""
        check_space(self.config, job.feature_shape, job.cache.output_stride)
        open_run(self.workdir, {**job.sections(), "data": job.data}, extendable(self.config))
