"""The pages of the documentation that derive from the tables, a module for each family."""
