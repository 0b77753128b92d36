"""What is in a data set before it is trained on: counts, broken files, duplicates, persons."""
