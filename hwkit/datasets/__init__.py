"""What is known of the data sets: facts, checksums, download, and the stand-in that is drawn."""
