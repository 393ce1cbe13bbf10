"""The HTTP server: Tornado with bounds on connections, memory and time.

`server.py` listens and drains, `connections.py` limits connections, `request.py` handles one request with the checks
of `heads.py` and the memory of `byte_budget.py`, `endpoints.py` is the table of routes, and `openapi.py` describes it.
"""
