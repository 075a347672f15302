"""Data sets behind one small interface: `open_source(params, folder)`."""
