"""From a trained network to a file that a phone runs. Still empty."""
