"""Counting backends: how a tile of scores is counted, by torch operations, compiled loops or CUDA kernels."""
