"""The cache: recordings → log-mels as TFRecords in `cache_directory/<mode>/<machine>/<split>` → batches of windows.

`prepare.py` brings it up to date (the verb `prepare`), `extraction.py` computes the log-mels, `manifest.py` records
which clip is in which shard, with `tables.py` in Parquet if they are many, `records.py` writes and reads the shards,
`spectra.py` has the log-mels from there, or from the recordings where no shard keeps them, `sums.py` adds up their
statistics, `contents.py` recognises unchanged recordings by checksum, `blocks.py` has clips read by many processes,
`directory.py` owns the paths, and `windows.py` is the tf.data pipeline from log-mels to batches `[batch, dims]`.
"""
