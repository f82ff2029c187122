"""What the driver says of a GPU: clocks and power, without which its times say little."""

from __future__ import annotations

import shutil
import subprocess

SENSORS = "name,driver_version,clocks.sm,clocks.mem,power.draw,power.limit,temperature.gpu"


def sensors() -> list[str]:
    """A line for each device; none where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={SENSORS}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().splitlines()
