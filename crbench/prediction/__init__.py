"""What a run will do, before it does it: images, operations, bytes, memory and seconds of each step.

`predict` reads lists, digests and what is kept, builds networks, and runs none of them. Counts follow from these as
those of the run do. Seconds are measured ones: of this very process for what it does as a run does, else of earlier
runs and benchmarks on this machine (`crbench.harness.paces`); a step of which neither is known has none.
"""

from crbench.prediction.predict import predict
from crbench.prediction.steps import Prediction, Step

__all__ = ["Prediction", "Step", "predict"]
