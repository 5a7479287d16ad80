"""Evaluation of predictions against labels, and pictures of predictions."""
