"""Synthetic people: exact 2D, 3D, depth, visibility, occlusion and actions without a download.

    rig.py          the skeleton: bones, joints of every layout, forward kinematics
    actions.py      procedural movements, of smooth curves (curves.py);  capture.py: motion capture (BVH, npz)
                    on the same skeleton;  course.py: one movement after the other
    placing.py      a movement on a body of other proportions, feet on the floor
    mesh.py         a person: skinned mesh (skinning.py) in random clothes (wardrobe.py)
    scene.py        camera, light, shadow, occluders;  background.py and effects.py: what is behind, and
                    what a camera does to a picture
    rasteriser.py   image, depth and segmentation of meshes under a camera (numba)
    videos.py       all of it as a data set of videos
    render.py       `poseact data render`;  formats/: the true on-disk formats of the published sets

Needs the extra ``poseact[synthetic]``; importing it without numba raises ``poseact.errors.UserError``.
"""

from poseact.data.synthetic.videos import Film, SyntheticVideos, make_film

__all__ = ["Film", "SyntheticVideos", "make_film"]
