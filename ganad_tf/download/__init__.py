"""Download: the name of a public data set → its recordings in the folders that `dataset.name` expects.

`catalogue.py` holds names and Zenodo records, `record.py` reads a record's list of files, `transfer.py` receives a file
over several attempts, `archive.py` unpacks safely, `manifest.py` remembers what is done, `plan.py` selects files, and
`fetch.py` does it all in parallel. Needs no TensorFlow.

pooch was considered: it verifies checksums and unpacks, but a broken download starts at its first byte again (it sends
no Range), which for archives of 10 GB decides whether they arrive at all. So the transfer is ours, on top of requests,
which brings redirects, proxies and certificates.
"""
