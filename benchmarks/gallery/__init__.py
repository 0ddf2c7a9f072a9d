"""Every shape of the code examples of keras.io, with the callback added: does it work at once?

`python -m benchmarks.gallery` runs the rows of the area modules; `rows.py` says what a row is.
"""
