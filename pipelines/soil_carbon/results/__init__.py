"""Tables and files of a finished map."""
