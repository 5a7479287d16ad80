"""Builders of data sets: raw pictures and labels in, TFRecords with DeepLab's keys out."""
