"""What the user has chosen and what runs, without widgets."""
