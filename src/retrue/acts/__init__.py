"""What people do between the steps: ask for a round, close it, adjudicate, adopt, rebuild."""
