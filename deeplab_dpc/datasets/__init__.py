"""Builders of data sets: they convert raw pictures and labels to TFRecords with DeepLab's keys."""
