"""Profiles: from the profile table to carbon densities per site and depth."""
