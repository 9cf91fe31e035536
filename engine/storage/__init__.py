"""Files that are written whole or not at all, on disks and in object stores."""
