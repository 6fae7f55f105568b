"""The eight words, one file each."""
