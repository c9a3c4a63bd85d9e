"""The weights that the package carries, and those that the paper's authors published, with their download.

One more file is one more entry in `SHIPPED` or `RELEASED`.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO

from poseact import DEFAULT_WEIGHTS
from poseact.errors import UserError

BASE_URL = "https://github.com/dluvizon/deephar/releases/download"
CHUNK = 1 << 18
TIMEOUT_SECONDS = 30

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where the server says, those there will be."""


@dataclass(frozen=True)
class Release:
    """A published file: the tag and name it is released under, and its checksum."""

    tag: str
    file: str
    md5: str
    network: str

    @property
    def url(self) -> str:
        return f"{BASE_URL}/{self.tag}/{self.file}"


SHIPPED = {
    name: Path(__file__).with_name(f"{name}.safetensors") for name in (DEFAULT_WEIGHTS, "poseact-free")
}
"""Files of this folder, by name; docs/NAME.md tells what each can do, and what is allowed."""
RELEASED = {
    "released-mpii": Release(
        "v0.1", "weights_PE_MPII_cvpr18_19-09-2017.h5", "d6b85ba4b8a3fc9d05c8ad73f763d999",
        "2D pose, 16 joints, 8 blocks, 2 context maps a joint",
    ),
    "released-human36m": Release(
        "v0.2", "weights_3DPE_H36M_cvpr18_Nov-2017.h5", "af79f83ad939117d4ccc2cf1d4bd37d2",
        "3D pose, 17 joints, 8 blocks, 16 depth maps",
    ),
    "released-penn-action": Release(
        "v0.3", "weights_AR_merge_ep074_26-10-17.h5", "f53f89257077616a79a6c1cd1702d50f",
        "2D pose, 16 joints, 4 blocks; 15 actions from 16 frames",
    ),
    "released-ntu": Release(
        "v0.4", "weights_AR_merge_NTU_v2.h5", "ff98d70a7f6bc5976cc11c7a5760e8b7",
        "3D pose, 20 joints, 4 blocks, 8 depth maps; 60 actions from 20 frames",
    ),
}  # fmt: skip


def cache_folder() -> Path:
    """Where downloads are kept: ``$POSEACT_HOME``, else ``~/.cache/poseact``."""
    home = os.environ.get("POSEACT_HOME")
    return Path(home) if home else Path.home() / ".cache" / "poseact"


def download(
    name: str, folder: Path | None = None, *, base_url: str = BASE_URL, progress: Progress | None = None
) -> Path:
    """Fetch a published file into ``folder`` (default `cache_folder`), unless it is there.

    A download that was cut goes on where it stopped: the bytes wait in a ``.part`` file,
    which gets its name once the checksum is right. ``base_url`` names a mirror.

    Raises ``UserError`` on an unknown name, no connection, a cut, or a wrong checksum (which
    removes the bytes).
    """
    if name not in RELEASED:
        raise UserError(f"unknown weights {name!r}: expected one of {', '.join(RELEASED)}")
    release = RELEASED[name]
    path = (folder or cache_folder()) / release.file
    if path.is_file() and _md5(path) == release.md5:
        return path
    part = path.with_name(path.name + ".part")
    url = f"{base_url}/{release.tag}/{release.file}"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, progress)
    except (OSError, HTTPException) as error:
        remedy = "check the connection and run it again: it goes on where it stopped"
        raise UserError(
            f"{url}: expected {release.file}, got {type(error).__name__}: {error}; {remedy}"
        ) from None
    if (found := _md5(part)) != release.md5:
        part.unlink()
        raise UserError(
            f"{url}: expected md5 {release.md5}, found {found}; the bytes were removed: run it again"
        )
    os.replace(part, path)
    return path


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    """Append what is missing to ``part``; raises ``OSError`` where the connection fails."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    opener = urllib.request.build_opener(_SameScheme)
    try:
        response = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is missing: the checksum decides
            return
        raise
    with response:
        start = start if response.status == 206 else 0
        _copy(response, part, start, progress)


def _copy(response: HTTPResponse, part: Path, start: int, progress: Progress | None) -> None:
    length = response.headers["Content-Length"]
    total = start + int(length) if length else None
    done = start
    with part.open("ab" if start else "wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to a connection without encryption."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https://"):
            raise urllib.error.URLError(f"redirected to {newurl}, expected https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
