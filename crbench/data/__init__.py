"""From pictures and a protocol to splits and LR pictures."""
