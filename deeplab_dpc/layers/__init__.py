"""Layers of the segmentation networks, in keras.ops: the same on TensorFlow and JAX."""
