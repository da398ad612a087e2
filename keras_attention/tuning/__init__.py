"""Search for where attention belongs, and which. Still empty."""
