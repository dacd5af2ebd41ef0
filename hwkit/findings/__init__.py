"""Claims and verdicts, the sentences and tables they become, and the reference report's numbers."""
