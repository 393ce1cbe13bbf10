"""The cache: recordings → log-mels as TFRecords in `cache_directory/<mode>/<machine>/<split>` → batches of windows.

`prepare.py` brings it up to date (the verb `prepare`), `extraction.py` computes the log-mels, `manifest.py` says which
clip is in which shard, `records.py` writes and reads the shards, `contents.py` knows recordings again by checksum, and
`windows.py` is the tf.data pipeline from shards to batches `[batch, dims]`.
"""
