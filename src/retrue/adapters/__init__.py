"""The ports made real: `<port>_<technology>.py`, and `memory.py` for tests."""
