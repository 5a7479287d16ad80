"""The web page that predicts the images dropped on it."""
