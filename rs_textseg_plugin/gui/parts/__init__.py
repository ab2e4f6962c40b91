"""What several rooms of the dock are made of."""
