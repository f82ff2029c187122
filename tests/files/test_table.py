"""Tables beside features: cells are what they look like, or are refused by line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crbench.errors import DataError
from crbench.files.table import load_meta

FEATURES = Path("q.npy")


def table(folder, *lines):
    (folder / "us.csv").write_text("pid,camid,rate,dims\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return load_meta(folder / "us.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1_2,1,2,8", "column 'pid': '1_2' is not an integer"),
        ("1,+1,2,8", "column 'camid': '\\+1' is not an integer"),
        ("\N{ARABIC-INDIC DIGIT TWO},1,2,8", "column 'pid': '\N{ARABIC-INDIC DIGIT TWO}' is not an integer"),
        ("1e3,1,2,8", "column 'pid': '1e3' is not an integer"),
        ("1,1,2,8.0", "column 'dims': '8.0' is not an integer"),
        ("\N{NO-BREAK SPACE}1,1,2,8", "column 'pid': .* is not an integer"),
        (f"{2**63},1,2,8", "column 'pid': '9223372036854775808' is not an integer of 64 bits"),
        ("1,1,2_0,8", "column 'rate': '2_0' is not a number"),
        ("1,1,nan,8", "column 'rate': 'nan' is not a number"),
    ],
)
def test_a_cell_that_only_python_reads_is_named(line, message, tmp_path):
    meta = table(tmp_path, "7,1,1,8", "", line)
    with pytest.raises(DataError, match=f"us.csv: line 4, {message}"):
        meta.rows(None, 2, FEATURES)


def test_cells_are_read_as_they_are_written(tmp_path):
    rows, _ = table(tmp_path, " 0012 ,-1,\t2.5e0,8").rows(None, 1, FEATURES)
    assert [rows[name].tolist() for name in ("pids", "camids", "rates", "dims")] == [[12], [-1], [2.5], [8]]
    assert rows["rates"].dtype == np.float32
