"""Prepared data sets: their contents, the reading of their records, and the batches made of them."""
