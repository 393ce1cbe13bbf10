"""Storage by URL: directories in an object store (s3://, gs://, az://) that are worked on as local images.

`config/storage.py` maps URLs to images below the scratch directory. `workspace.py` is the door: it fetches what a verb
needs and publishes what it wrote. `store.py` asks the store, with retries, `s3.py` by conditional writes; `folder.py`
knows what is equal on both sides, `fetching.py` and `publishing.py` make it so, unit by unit as `units.py` defines
them; `placeholders.py` stands for recordings until they are read, `scratch.py` keeps workers apart. Needs the extra
`storage`, and no TensorFlow.
"""
