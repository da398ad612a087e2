"""From a trained network to a file that a phone runs. Not built yet: see the README's list of what is."""
