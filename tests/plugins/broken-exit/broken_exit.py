"""Says something and ends the program when it is imported."""

import sys

print("checking the licence")  # noqa: T201
sys.exit("licence expired")
