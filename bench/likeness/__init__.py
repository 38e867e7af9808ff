"""Like for like: on which axes two sides of a comparison differ, and whether both were shown to be right."""
