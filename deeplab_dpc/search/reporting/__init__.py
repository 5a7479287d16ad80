"""What the report of a search shows, a section a file."""
