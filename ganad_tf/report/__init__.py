"""The verb `report`: results for people, one page that explains itself and the same tables as files.

`origins.py` finds what made the scores and refuses what has changed since, `facts.py` gathers what result directories
and recordings say, `compared.py` puts systems side by side, `views.py` looks at single clips as the detector does (the
only one that asks TensorFlow), `plots.py` draws, `cards.py`, `page.py` and `tables.py` write, `writing.py`
does it all.
"""
