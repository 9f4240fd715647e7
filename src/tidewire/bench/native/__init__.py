"""Two small C programs, compiled when a benchmark needs them: Python would measure itself."""
