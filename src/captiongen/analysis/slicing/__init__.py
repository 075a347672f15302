"""Which images captions fail on: properties, slices, and two models held against each other."""
