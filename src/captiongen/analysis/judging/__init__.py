"""What a caption is worth: by references, by the picture; and which captions are worst."""
