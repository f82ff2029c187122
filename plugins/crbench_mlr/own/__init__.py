"""``folder:PATH``: a folder of the user's own, without code; README.md beside `crbench_mlr` says how it is read."""
