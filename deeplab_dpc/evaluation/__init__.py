"""Judging predictions against labels, and showing them."""
