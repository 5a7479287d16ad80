"""Search, train, judge and ship semantic segmentation networks in the DeepLab style (arXiv:1809.04184)."""

__version__ = "0.1.0"
