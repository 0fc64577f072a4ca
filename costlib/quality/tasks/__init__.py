"""Tasks: what a model answers to labelled items, item by item, and whether a cheaper variant answers as well."""
