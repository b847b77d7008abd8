"""Register maps of Growatt's families, a module each, written like the maker's tables."""
