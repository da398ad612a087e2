"""Search for where attention belongs, and which. Not built yet: see the README's list of what is."""
