"""How a tile of scores is counted."""
