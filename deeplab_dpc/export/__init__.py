"""Exports of networks for serving."""
