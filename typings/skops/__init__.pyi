# Only what retrue uses of skops, which ships no types.
