"""Steadiness of a video: what surfaces are is carried along their motion, so that only the light may change quickly.

`filter.TemporalFilter` is the state of one stream. It rests on `cuts` (where another shot begins), `flow` (where each
pixel was a frame ago, and whether it could be seen), `surface` (whether it still shows the same surface, perhaps in other
light) and `track` (the albedo averaged along the motion). NumPy and OpenCV only.
"""
