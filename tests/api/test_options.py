"""The typed options are the fields of the configurations, and values of other types are refused."""

import dataclasses

import pytest

from deeplab_dpc.api.options import InferenceOptions, ModelOptions, TrainOptions, inference_config, model_config
from deeplab_dpc.arch.library import load_cell, published_genotype
from deeplab_dpc.config import DataConfig, InferenceConfig, ModelConfig, TrainConfig
from deeplab_dpc.errors import UserError


def _fields(*configs):
    return {field.name for config in configs for field in dataclasses.fields(config)}


def test_options_are_the_fields():
    assert set(InferenceOptions.__annotations__) == _fields(InferenceConfig)
    assert set(ModelOptions.__annotations__) == _fields(ModelConfig) - {"num_classes"}
    place = {"num_classes", "data_dir", "dataset", "classes"}
    assert set(TrainOptions.__annotations__) == _fields(ModelConfig, DataConfig, TrainConfig) - place


def test_cells_and_genotypes_are_taken_by_name():
    assert model_config(3, {"dense_prediction_cell": "aspp"}).dense_prediction_cell == load_cell("aspp")
    config = model_config(3, {"model_variant": "auto_deeplab", "genotype": "auto_deeplab"})
    assert (config.genotype, config.output_stride) == (published_genotype(), published_genotype().output_stride)
    assert model_config(3, {"model_variant": "auto_deeplab"}).output_stride == published_genotype().output_stride


def test_sequences_become_tuples():
    assert inference_config({"eval_scales": [1, 2.0]}).eval_scales == (1, 2.0)
    assert model_config(3, {"decoder_output_stride": [8, 4]}).decoder_output_stride == (8, 4)


def test_unknown_options_and_other_types_are_refused():
    with pytest.raises(TypeError, match="There is no option 'eval_scale'; did you mean eval_scales"):
        inference_config({"eval_scale": 1})
    with pytest.raises(TypeError, match="There is no option 'zoom'; the options are eval_crop_size, eval_scales"):
        inference_config({"zoom": 1})
    with pytest.raises(UserError, match="output_stride must be int, got '16'"):
        model_config(3, {"output_stride": "16"})
