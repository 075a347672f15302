"""What is wrong with a caption, by name: facts read, compared with people's, mended and priced."""
