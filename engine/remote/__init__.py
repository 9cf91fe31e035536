"""Files behind addresses: how they are reached, unlocked and tried again; for what is read and for what is written."""
