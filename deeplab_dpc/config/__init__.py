"""Configurations as frozen dataclasses, which are made from flags, written to config.json and read by every command."""

from deeplab_dpc.config.auto_deeplab import AutoDeepLabConfig
from deeplab_dpc.config.base import Config, encode
from deeplab_dpc.config.data import CACHE_MODES, DataConfig
from deeplab_dpc.config.export import SavedModelOptions
from deeplab_dpc.config.inference import InferenceConfig
from deeplab_dpc.config.judging import JudgeConfig
from deeplab_dpc.config.model import ModelConfig
from deeplab_dpc.config.search import FidelityConfig, SearchConfig, ServiceConfig
from deeplab_dpc.config.train import TrainConfig

__all__ = [
    "CACHE_MODES",
    "AutoDeepLabConfig",
    "Config",
    "DataConfig",
    "FidelityConfig",
    "InferenceConfig",
    "JudgeConfig",
    "ModelConfig",
    "SavedModelOptions",
    "SearchConfig",
    "ServiceConfig",
    "TrainConfig",
    "encode",
]
