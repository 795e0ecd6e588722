"""Long campaigns: of faults, kills, loss of power, tampering and load; and the short form of each."""
