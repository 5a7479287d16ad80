"""The web page that predicts images dropped on it."""
