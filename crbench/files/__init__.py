"""Feature files of any language, and the tables beside them."""
