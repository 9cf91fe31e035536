"""The joint distribution of the map's errors: how the truth may differ from the map, in all places at once."""
