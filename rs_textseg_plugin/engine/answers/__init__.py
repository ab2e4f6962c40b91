"""What a method says of a tile: segments, class maps, and votes between them."""
