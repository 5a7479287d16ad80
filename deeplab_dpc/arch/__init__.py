"""Architectures as plain values: nothing here loads TensorFlow, Keras or NumPy."""
