"""Prepared data sets: what is in them, how their records are read, and how batches are made of them."""
