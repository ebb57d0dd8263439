"""Scripts that generate the bundled files and the tables of the documentation, or measure."""
