"""The checkpoints that the authors of DeepLab publish, by the names of their model zoo. Needs no Keras."""

import dataclasses
import difflib

IMAGENET = "imagenet"  # name of the weights that Keras publishes; a file of that name is given as ./imagenet
VOC, CITYSCAPES, ADE20K = "PASCAL VOC 2012", "Cityscapes", "ADE20K"
CLASSES = {VOC: 21, CITYSCAPES: 19, ADE20K: 151}


@dataclasses.dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint of the model zoo.

    Attributes:
      archive: file name of the archive that contains it.
      network: description of the network as text.
      megabytes: size of the archive, in 10^6 bytes; None if it is not published.
      dataset: data set of its classes; None for a backbone without logits.
      miou: published mIOU in percent as text; empty for a backbone.
      longest_side: longest side of the images in the published evaluation, in pixels; None for images of original
        size.
    """

    archive: str
    network: str
    megabytes: float | None
    dataset: str | None = None
    miou: str = ""
    longest_side: int | None = None

    @property
    def num_classes(self) -> int | None:
        """Returns the number of channels of the logits; None for a backbone without them."""
        return None if self.dataset is None else CLASSES[self.dataset]


_MOBILENET = "MobileNetV2, no atrous branches, no decoder"
_XCEPTION = "Xception-65, rates 6/12/18, decoder 4"
_DPC = "Xception-71, dpc_top1, decoder 4"
_BACKBONE = "backbone"

CHECKPOINTS = {
    "mobilenetv2_dm05_coco_voc_trainaug": PublishedCheckpoint(
        "deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz",
        "MobileNetV2 0.5, no atrous branches, no decoder",
        7.6,
        VOC,
        "70.19 val",
    ),
    "mobilenetv2_dm05_coco_voc_trainval": PublishedCheckpoint(
        "deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01.tar.gz",
        "MobileNetV2 0.5, no atrous branches, no decoder",
        7.6,
        VOC,
        "71.83 test",
    ),
    "mobilenetv2_coco_voc_trainaug": PublishedCheckpoint(
        "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz", _MOBILENET, 23, VOC, "75.32 val"
    ),
    "mobilenetv2_coco_voc_trainval": PublishedCheckpoint(
        "deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz", _MOBILENET, 23, VOC, "80.25 test"
    ),
    "xception65_coco_voc_trainaug": PublishedCheckpoint(
        "deeplabv3_pascal_train_aug_2018_01_04.tar.gz", _XCEPTION, 439, VOC, "82.20 val"
    ),
    "xception65_coco_voc_trainval": PublishedCheckpoint(
        "deeplabv3_pascal_trainval_2018_01_04.tar.gz", _XCEPTION, 439, VOC, "87.80 test"
    ),
    "mobilenetv2_coco_cityscapes_trainfine": PublishedCheckpoint(
        "deeplabv3_mnv2_cityscapes_train_2018_02_05.tar.gz", _MOBILENET, 23, CITYSCAPES, "70.71 val"
    ),
    "mobilenetv3_large_cityscapes_trainfine": PublishedCheckpoint(
        "deeplab_mnv3_large_cityscapes_trainfine_2019_11_15.tar.gz",
        "MobileNetV3-Large, LR-ASPP, output stride 32",
        17,
        CITYSCAPES,
        "72.41 val",
    ),
    "mobilenetv3_small_cityscapes_trainfine": PublishedCheckpoint(
        "deeplab_mnv3_small_cityscapes_trainfine_2019_11_15.tar.gz",
        "MobileNetV3-Small, LR-ASPP, output stride 32",
        5,
        CITYSCAPES,
        "68.99 val",
    ),
    "xception65_cityscapes_trainfine": PublishedCheckpoint(
        "deeplabv3_cityscapes_train_2018_02_06.tar.gz", _XCEPTION, 439, CITYSCAPES, "78.79 val"
    ),
    "xception71_dpc_cityscapes_trainfine": PublishedCheckpoint(
        "deeplab_cityscapes_xception71_trainfine_2018_09_08.tar.gz", _DPC, 445, CITYSCAPES, "80.31 val"
    ),
    "xception71_dpc_cityscapes_trainval": PublishedCheckpoint(
        "deeplab_cityscapes_xception71_trainvalfine_2018_09_08.tar.gz", _DPC, 446, CITYSCAPES, "82.66 test"
    ),
    "edgetpu_deeplab": PublishedCheckpoint(
        "edgetpu-deeplab_2020_03_09.tar.gz",
        "MobileNet EdgeTPU, no atrous branches, no decoder",
        None,
        CITYSCAPES,
        "74.1 val",
    ),
    "edgetpu_deeplab_slim": PublishedCheckpoint(
        "edgetpu-deeplab-slim_2020_03_09.tar.gz",
        "MobileNet EdgeTPU 0.75, 128 filters, no atrous branches, no decoder",
        None,
        CITYSCAPES,
        "73.2 val",
    ),
    "mobilenetv2_ade20k_train": PublishedCheckpoint(
        "deeplabv3_mnv2_ade20k_train_2018_12_03.tar.gz", "MobileNetV2, decoder 4", 24.8, ADE20K, "32.04 val", 257
    ),
    "xception65_ade20k_train": PublishedCheckpoint(
        "deeplabv3_xception_ade20k_train_2018_05_29.tar.gz", _XCEPTION, 439, ADE20K, "45.65 val", 513
    ),
    "xception_41_imagenet": PublishedCheckpoint("xception_41_2018_05_09.tar.gz", _BACKBONE, 288),
    "xception_65_imagenet": PublishedCheckpoint("deeplabv3_xception_2018_01_04.tar.gz", _BACKBONE, 447),
    "xception_65_imagenet_coco": PublishedCheckpoint("xception_65_coco_pretrained_2018_10_02.tar.gz", _BACKBONE, 292),
    "xception_71_imagenet": PublishedCheckpoint("xception_71_2018_05_09.tar.gz", _BACKBONE, 474),
    "resnet_v1_50_beta_imagenet": PublishedCheckpoint("resnet_v1_50_2018_05_04.tar.gz", _BACKBONE, 274),
    "resnet_v1_101_beta_imagenet": PublishedCheckpoint("resnet_v1_101_2018_05_04.tar.gz", _BACKBONE, 477),
}


def is_name(source: str) -> bool:
    """Returns whether a source of weights is a name, which always means a download; a file with that name is ./NAME."""
    return source == IMAGENET or source in CHECKPOINTS


def meant_names(source: str) -> str:
    """Returns names similar to a source that does not exist, as the end of a sentence; empty for none."""
    near = difflib.get_close_matches(source.lower().replace("-", "_"), [IMAGENET, *CHECKPOINTS], n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""
