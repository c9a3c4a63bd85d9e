"""Pictures for people.

- `overlay`: skeletons on images.  `sheet`: images in a grid.  `samples`: what training sees.
- `frame`: a frame of the overlay video, with a panel beside it; `space`: the 3D view in it.
- `timeline`: who performs what, when.  `page`: one HTML page with all of it.
"""
