"""The proxy task, which scores a cell in seconds, on features of a frozen backbone or by a short training of the whole
network.

Contains the feature cache and its derivatives (feature_cache.py, feature_writer.py, target_cache.py,
adapted_backbone.py), the network that takes the cell as data (cell_network.py, wiring.py, cell_weights.py), and its
training (training_step.py, tensorflow_backend.py, jax_backend.py, program.py, feed.py, device_scoring.py). Provides the
evaluators and early stopping (cell_evaluator.py): proxy_evaluator.py, and end_to_end.py with cell_run.py. Modules that
can run without TensorFlow do not import it.
"""
