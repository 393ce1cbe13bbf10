"""Exported models in use: `artifact` in this process, `client` from elsewhere, `server` for others.

Nothing here knows how a detector was trained: an artifact says for itself what it takes and what it returns.
"""
