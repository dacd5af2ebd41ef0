"""What is known of the data sets: facts, checksums, download, the stand-in that is drawn, and the user's own."""

from hwkit.datasets.own import facts, known_facts
from hwkit.datasets.sources import DATASETS, SOURCES, Facts, Source, is_own, resolve_source

__all__ = ["DATASETS", "SOURCES", "Facts", "Source", "facts", "is_own", "known_facts", "resolve_source"]
