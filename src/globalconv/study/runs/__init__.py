"""Runs on disk: how they are carried out, read and validated."""
