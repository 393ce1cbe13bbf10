"""Exported models on disk and in memory."""
