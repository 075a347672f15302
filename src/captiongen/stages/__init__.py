"""One plain function per DVC stage."""
