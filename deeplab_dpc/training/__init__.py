"""Losses, schedules and the trainer."""
