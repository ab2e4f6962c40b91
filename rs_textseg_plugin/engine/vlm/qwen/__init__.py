"""A Qwen-VL on this machine."""
