"""The demo: a marketplace with a year of data, people who keep using it, and a page with two windows to watch a row."""
