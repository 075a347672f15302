"""Which captions of the data are probably wrong."""
