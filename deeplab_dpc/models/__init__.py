"""Backbones and the segmentation networks built on them."""
