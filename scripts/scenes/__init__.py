"""Aerial scenes that are drawn, so that the truth is known for every pixel.

`drawing.draw` returns a scene and `files.write` writes it; `kinds` says what each kind of scene is made of. What is
painted goes through `canvas.Canvas`, which keeps colours, heights and truth together; `camera` lights and takes the
picture at the end.
"""
