import cv2
import numpy as np
import pytest

from poseact.data.images import ImageFiles, read_image
from poseact.errors import UserError


def ramp(height=48, width=64):
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 2] = 3 * np.arange(width), 4 * np.arange(height)[:, None]  # BGR
    return image


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_colours_are_rgb(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a{suffix}"), ramp())
    image = read_image(tmp_path / f"a{suffix}")
    assert image.shape == (48, 64, 3) and np.abs(image[..., ::-1].astype(int) - ramp()).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_reduced_pixels_are_means_of_squares(tmp_path, suffix, reduction):
    cv2.imwrite(str(tmp_path / f"a{suffix}"), ramp(), [cv2.IMWRITE_JPEG_QUALITY, 98])
    (image,), reduced = ImageFiles((tmp_path / f"a{suffix}",)).read([0], reduction)
    assert reduced == reduction
    means = ramp().reshape(48 // reduction, reduction, 64 // reduction, reduction, 3).mean((1, 3))
    assert image.shape == means.shape and np.abs(image[..., ::-1] - means).max() < 8


def test_orientation_tags_turn_photographs_but_not_data_sets(tmp_path):
    _, data = cv2.imencode(".jpg", ramp())
    # An EXIF segment with the orientation 6: a phone held upright.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "a.jpg").write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    assert read_image(tmp_path / "a.jpg").shape == (64, 48, 3)
    assert ImageFiles((tmp_path / "a.jpg",)).read([0])[0][0].shape == (48, 64, 3)


@pytest.mark.parametrize("cut", [1, 2, 40, 400])
def test_a_jpeg_that_ends_early_is_damaged(tmp_path, cut):
    _, data = cv2.imencode(".jpg", ramp())
    (tmp_path / "a.jpg").write_bytes(data.tobytes()[:-cut])
    with pytest.raises(UserError, match="ends too early"):
        read_image(tmp_path / "a.jpg")


def test_a_photograph_with_a_short_video_after_it_is_whole(tmp_path):
    """As phones store them: the JPEG's end is far from the file's."""
    _, data = cv2.imencode(".jpg", ramp())
    video = b"\0\0\0\x18ftypmp42" + bytes(1 << 17)
    (tmp_path / "a.jpg").write_bytes(data.tobytes() + video)
    assert read_image(tmp_path / "a.jpg").shape == (48, 64, 3)
    (tmp_path / "b.jpg").write_bytes(data.tobytes()[:-2] + bytes(1 << 17))
    with pytest.raises(UserError, match="ends too early"):
        read_image(tmp_path / "b.jpg")


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_what_is_no_image(tmp_path, content):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png: expected an image"):
        read_image(tmp_path / "a.png")
