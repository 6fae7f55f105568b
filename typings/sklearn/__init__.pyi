# Only what retrue uses of scikit-learn, which ships no types.
