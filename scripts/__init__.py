"""Programs for those who work on Local Solar."""
