"""One module for each discussion point of the report that needs code of its own."""
