"""Backbones and the segmentation networks that are built on them."""
