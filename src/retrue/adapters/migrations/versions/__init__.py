"""One file per schema revision, in the order of `state_tables.REVISIONS`."""
