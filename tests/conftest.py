"""Being here puts `tests/` on the import path, for what several suites share."""
