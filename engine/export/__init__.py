"""Maps as files for other programs: COGs, STAC and QGIS."""
