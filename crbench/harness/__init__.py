"""The harness: from a `RunSpec` to results, in ten steps. `run` holds their order; each step has a module of its own.

| step | what it gives | module |
|---|---|---|
| 1 plan | jobs and their cells, every name and parameter resolved | `plan`, `match` |
| 2 splits | train, query and gallery rows of each trial; training and test kept apart | `trial`, `source` |
| 3 rates | the rate of every row, LR copies of the training rows | `trial` |
| 4 features | a ready backbone (trained first where it has no weights); its features of all rows | see below |
| 5 pairs | training features, LR beside HR | `cell` |
| 6 fit | a transform, from training features only | `cell` |
| 7 transform | query and gallery features as the aligner changes them, those of a tracklet as one | `cell`, `pooling` |
| 8 evaluate | scores of one trial | `cell` |
| 9 record | a `Result`, written whole | `record`, `command` |
| 10 table | `crbench.leaderboard` reads the results | |

Step 4 has two halves. `backbone` makes a backbone ready, with given weights, with weights that were kept, or by
`weights`, which trains and keeps them; `cards` says what weights were trained on. `features` then finds or computes the
features of the `rows` of each trial: `extract` reads images and calls the network, `galleries` says which gallery each
query is compared with.

A job is all cells that share data set, protocol and backbone; what its cells share is in `facts`, and `job` opens it.
`cells` takes steps 5 to 9 for them, each in one process at a time (`status` tells others). `identity` has every
digest by which a run finds what it has already. `train` is the command that trains a backbone and no more; it shares
steps 1 to 4 and 8. `opened` makes one trial ready for those who look at features and record nothing; `ranked` ranks it
once more, for pages with images; `beside` compares what two networks make of the same images. `environment` and
`timing` are tools; `stages` times extraction, part by part, and `paces` keeps what steps took on this machine.
"""
