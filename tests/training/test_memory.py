"""Exhausted memory is said with the flags that need less; the peak is measured."""

import resource
import sys

import pytest
import tensorflow as tf

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.data.pipeline import damaged_record_named
from deeplab_dpc.errors import UserError
from deeplab_dpc.training.device_memory import exhausted_memory_named, peak_memory


def _exhausted():
    return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[16,769,769,32]")


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (
            _exhausted(),
            {"train_batch_size": 9, "gradient_accumulation_steps": 1},
            "for 9 image.s. of 769 x 513 at a time; options that need less: --precision=bfloat16, "
            "--gradient_accumulation_steps=3, a smaller --train_crop_size, more devices",
        ),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345 bytes."),
            {"train_batch_size": 8, "gradient_accumulation_steps": 8, "precision": "bfloat16"},
            "for 1 image.s. of 769 x 513 at a time; options that need less: a smaller --train_crop_size, more devices",
        ),
    ],
)
def test_error_of_a_backend_names_what_needs_less(error, options, message):
    with pytest.raises(UserError, match=message), exhausted_memory_named(TrainConfig(**options), (769, 513)):
        raise error


def test_peak_is_that_of_the_process():
    """getrusage, whose figure is in kilobytes on Linux, says more only where a larger process started this one."""
    unit = 1 if sys.platform == "darwin" else 1024
    assert 100e6 < peak_memory() < 1.01 * unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="something else"), exhausted_memory_named(TrainConfig(), (33, 33)):
        raise RuntimeError("something else")


def test_records_are_not_searched_for_it():
    with pytest.raises(tf.errors.ResourceExhaustedError), damaged_record_named("The split", ["absent file"]):
        raise _exhausted()
