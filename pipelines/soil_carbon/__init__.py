"""Soil organic carbon: profiles to densities, depths, stocks, figures and the report."""
