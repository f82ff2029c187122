"""Only the suites are collected: the scripts beside them import each other as scripts do."""

from __future__ import annotations

collect_ignore_glob = ["[!t]*.py", "targets.py"]
