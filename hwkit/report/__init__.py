"""The report: what its notebooks train, their execution, and their binding into one document."""
