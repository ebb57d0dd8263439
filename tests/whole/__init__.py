"""What holds for all of it: layout, documents, packages, and the official weights."""
