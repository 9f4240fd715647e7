"""Measured figures, and the script that writes them."""
