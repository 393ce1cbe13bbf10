"""The verb `report`: result directories → `report.html`, the same tables as Markdown and CSV, and pictures.

In: result directories of `ganad score` or `ganad ensemble`, with the caches, detectors and recordings that made them.
Out: one folder with a self-contained page, `report.md`, `machines.csv`, `clips.csv`, `made.csv`, `comparison.csv`
(several systems only) and `plots/`.

`provenance.py` reads the origin of the scores and refuses what has changed since, `facts.py` computes areas, intervals
and decisions, `systems.py` compares result directories, `clips.py` chooses and draws single clips (the only file that
needs TensorFlow), `audio_embedder.py` embeds recordings, `page.py` and `tables.py` write, and `write.py` runs
everything.

Terms: a *system* is one result directory, a *summary* is all that is known of one machine type in it, a *card* is a
clip on the page with its score, spectrograms and audio player. Only `cli` imports this package.
"""
