"""The verb `report`: results for people, one page that explains itself and the same tables as files.

`facts.py` gathers what result directories and recordings say, `views.py` looks at single clips as the detector does
(the only file here that needs TensorFlow), `plots.py` draws, `page.py` and `tables.py` write, `writing.py` does it all.
"""
