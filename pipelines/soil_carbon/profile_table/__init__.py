"""From a table as it is kept to one under the default names, in the pipeline's units, one row per layer."""
