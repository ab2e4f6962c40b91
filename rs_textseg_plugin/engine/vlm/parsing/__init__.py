"""From a model's words to instances with boxes and points."""
