"""Work on a Dask cluster: workers, tasks, the lock of a run and what has been done."""
