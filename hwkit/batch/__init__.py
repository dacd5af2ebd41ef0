"""Batches: grids of experiments or notebooks, on one machine or on many; what docs/batch.md describes.

- `file`: the batch file, read and checked;
- `tasks`: what a batch consists of, and what each task's result is called;
- `storage`: where results go, a folder or an object store;
- `state`: which tasks are done, failed and under way;
- `working`: what a worker does with one task;
- `cluster`: the workers;
- `running`: handing tasks to workers until all are done;
- `progress`: how far it is, as a live table or as lines;
- `planning`: how far it is when nobody runs it: what is done, what failed, how long the rest will take;
- `results`, `comparison`: what came out, as a table and as a document.

Nothing here is imported by the rest of hwkit but its command line, and Dask only where workers are needed.
"""
