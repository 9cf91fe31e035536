"""The run file: its sections, its reader and its reference."""
