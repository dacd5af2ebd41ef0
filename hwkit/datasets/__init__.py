"""What is known of the data sets: facts, checksums, download, and the stand-in that is drawn."""

from hwkit.datasets.sources import DATASETS, SOURCES, Facts, Source, facts, known_facts, register, resolve_source

__all__ = ["DATASETS", "SOURCES", "Facts", "Source", "facts", "known_facts", "register", "resolve_source"]
