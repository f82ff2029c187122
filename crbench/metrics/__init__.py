"""From ranks to numbers."""
