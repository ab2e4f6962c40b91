"""Teaching a vision-language model to click: what ``scripts/tune_vlm.py`` consists of."""
