"""The training step on TensorFlow, on one device or in the replicas of a tf.distribute strategy."""

from typing import Any

import keras
import tensorflow as tf


class TensorFlowStep(keras.Model):
    """The TensorFlow train step of TrainingModel, which defines the arithmetic."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Updates the variables with a batch (images, labels); returns the means of the metrics."""
        images, labels = data[:2]  # fit omits values that are None, train_on_batch does not
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        variables = [variable.value for variable in self.trainable_variables]
        step, scale = self.optimizer.iterations.value, self.optimizer.scale_loss(tf.ones(()))
        whole = self.labelled_pixels(images, labels)
        if replicas > 1:
            whole = context.all_reduce(tf.distribute.ReduceOp.SUM, whole)
        share = 1.0 / (self.num_pieces * replicas)
        sums: Any = None
        for i in range(self.num_pieces):
            piece = images[i :: self.num_pieces], labels[i :: self.num_pieces]
            if sums is not None:
                # Not before the previous piece is done; otherwise their activations would be in memory together.
                with tf.control_dependencies(tf.nest.flatten(sums)):
                    piece = tf.nest.map_structure(tf.identity, piece)
            with tf.GradientTape() as tape:
                parts = self.piece_parts(*piece, step, whole, share)
                scaled = sum(parts.values()) * scale
            found = (tape.gradient(scaled, variables), parts)
            sums = found if sums is None else tf.nest.map_structure(tf.add, sums, found)
        if replicas > 1:
            sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
        gradients, values = self.complete(*sums, variables, scale)
        # The optimizer sums over the replicas once more.
        self.optimizer.apply([gradient / replicas for gradient in gradients], self.trainable_variables)
        means: dict[str, Any] = self.tracked(values)
        return means
