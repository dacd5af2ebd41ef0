"""Batches: grids of experiments or notebooks, on one machine or on many; what docs/batch.md describes.

- `file`: the batch file, read and checked;
- `tasks`: the variants and tasks of a batch, and the names of their results;
- `storage`: where results go, a folder or an object store;
- `state`: which tasks are done, failed and under way;
- `working`: what a worker does with one task;
- `cluster`: the workers;
- `running`: handing tasks to workers until all are done;
- `progress`: the progress, as a live table or as lines;
- `planning`: the state of a batch: what is done, what failed, how long the rest will take;
- `results`, `verdicts`, `comparison`: the results, compared with a baseline, as tables and as a document.

Nothing here is imported by the rest of hwkit but its command line, and Dask only where workers are needed.
"""
