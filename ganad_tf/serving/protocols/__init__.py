"""Requests and responses as values: JSON, tensors, bytes."""
