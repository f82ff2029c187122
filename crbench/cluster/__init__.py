"""A run or an evaluation on the workers of a Dask cluster: the same plan, store and results as on one machine.

Workers share a file system with each other and with who asks. Tasks hold names only: features, fits and weights move
through the cache and the weights folder, where they are found by their content, and each result is written by the same
code as on one machine, by the worker that computed it.

The tasks of a job follow the ten steps of `crbench.harness`: ``open`` its data (steps 2 and 3), ``train`` or load each
of its backbones, ``extract`` blocks of rows (step 4), ``fit`` an aligner on the training rows of a trial (5 and 6), and
compute and write a ``cell`` (5 to 9). `crbench.cluster.tasks` has what workers do, `crbench.cluster.run` what is asked
of them; `crbench.cluster.gallery_tasks` and `crbench.cluster.gallery` have both for an evaluation against a gallery of
many files. `crbench.cluster.asking` waits for tasks of either.
"""
