"""What is known of the images without drawing, and so without the compiled loops."""

HEIGHT, WIDTH = 128, 64
"""Of a finished image, in pixels; everything is drawn at twice that."""

CAMERA_COUNT = 4
