"""Vision-language models: what they are asked, what they answer, and where on a picture that is."""
