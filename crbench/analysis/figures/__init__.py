"""Figures of a run: what a network's features look like, what it finds, and down to which size it works.

Each module computes what a figure shows, so that it can be tested, and draws it: `tsne` (VPFA, Fig. 3; LRAR, Fig. 5),
`ranked_lists` (Fig. 4 of both), `sizes` and `histograms`. `style` holds what they share and writes them. matplotlib and
scikit-learn are loaded where they are needed (``pip install 'crbench[plot]'``).
"""
