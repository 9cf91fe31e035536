"""Polygons as people keep them, made sound before anything else: valid, closed, flat, and within ±180°."""
