"""What the steps read before they act: clean rows, draws, ballots, references, spending."""
