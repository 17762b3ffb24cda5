"""The miniature: a drawn world and small models trained on it, saved in the formats of their full-size twins."""
