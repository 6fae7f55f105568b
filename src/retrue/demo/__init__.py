"""The demo: the whole loop over real handwritten digits."""
