"""The command line: the console script kmeans-service."""
