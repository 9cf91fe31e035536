"""Covariate sources: each opened lazily from where it lives, read window by window in its own grid."""
