"""The web page for predicting images that are dropped on it."""
