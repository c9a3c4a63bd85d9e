"""Downloads from a local server: whole, cut and resumed, wrong, and not there."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from poseact.errors import UserError
from poseact.weights import load_model, registry
from poseact.weights.registry import RELEASED, Release, cache_folder, download

CONTENT = bytes(range(256)) * 4000


class Server(BaseHTTPRequestHandler):
    """Serves ``content`` with ranges; ``cut`` ends each answer after as many bytes."""

    content, cut, ranges = CONTENT, None, True

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        wanted = self.headers.get("Range") if self.ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if "missing" in self.path or (wanted and start >= len(self.content)):
            self.send_error(404 if "missing" in self.path else 416)
            return
        body = self.content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server of its own for each test, and a registry with one file on it."""
    handler = type("Handler", (Server,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.requests, server.handler = [], handler
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    md5 = hashlib.md5(CONTENT).hexdigest()
    monkeypatch.setitem(RELEASED, "a", Release("v1", "a.h5", md5, "a network"))
    monkeypatch.setitem(RELEASED, "missing", Release("v1", "missing.h5", md5, "a network"))
    yield server
    server.shutdown()
    server.server_close()


def test_whole_file_once(server, tmp_path):
    seen = []
    path = download("a", tmp_path / "new", base_url=server.url, progress=lambda *p: seen.append(p))
    assert path == tmp_path / "new" / "a.h5"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert download("a", tmp_path / "new", base_url=server.url) == path
    assert server.requests == [("/v1/a.h5", None)]
    assert [p.name for p in path.parent.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("ranges", [True, False])
def test_resumes_after_a_cut(server, tmp_path, ranges):
    server.handler.cut, server.handler.ranges = 300_000, ranges
    with pytest.raises(UserError, match=r"ended after 300000 of 1024000 bytes.*run it again"):
        download("a", tmp_path, base_url=server.url)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5.part"]
    server.handler.cut = None
    seen = []
    path = download("a", tmp_path, base_url=server.url, progress=lambda *p: seen.append(p))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert server.requests[1] == ("/v1/a.h5", "bytes=300000-")


def test_complete_part_is_checked_and_renamed(server, tmp_path):
    (tmp_path / "a.h5.part").write_bytes(CONTENT)
    assert download("a", tmp_path, base_url=server.url).read_bytes() == CONTENT


@pytest.mark.parametrize("start", [b"", b"rubbish"])
def test_wrong_checksum_removes_the_bytes(server, tmp_path, start):
    if start:
        (tmp_path / "a.h5.part").write_bytes(start)
    else:
        server.handler.content = b"<html>sign in</html>"
    with pytest.raises(UserError, match="expected md5") as caught:
        download("a", tmp_path, base_url=server.url)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_changed_file_is_fetched_again(server, tmp_path):
    (tmp_path / "a.h5").write_bytes(b"altered")
    assert download("a", tmp_path, base_url=server.url).read_bytes() == CONTENT


def test_not_there(server, tmp_path):
    with pytest.raises(UserError, match="404"):
        download("missing", tmp_path, base_url=server.url)
    with pytest.raises(UserError, match="released-mpii"):
        download("unheard", tmp_path, base_url=server.url)
    with pytest.raises(UserError, match="check the connection"):
        download("a", tmp_path, base_url="http://127.0.0.1:1")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("POSEACT_HOME", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("POSEACT_HOME")
    assert cache_folder().parts[-2:] == (".cache", "poseact")


def test_released_files():
    assert list(RELEASED) == ["released-mpii", "released-human36m", "released-penn-action", "released-ntu"]
    assert RELEASED["released-mpii"].url == (
        "https://github.com/dluvizon/deephar/releases/download/v0.1/weights_PE_MPII_cvpr18_19-09-2017.h5"
    )


def test_load_model_downloads_and_converts_once(keras_files, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEACT_HOME", str(tmp_path))
    calls = []

    def fetched(name):
        calls.append(name)
        return keras_files["pose2d"]

    monkeypatch.setattr("poseact.weights.download", fetched)
    for _ in range(2):
        assert load_model("released-mpii").arguments["context"] == 2
    assert calls == ["released-mpii"]


def test_redirect_never_leaves_https():
    handler = registry._SameScheme()
    request = registry.urllib.request.Request("https://example.org/a")
    with pytest.raises(OSError, match="expected https"):
        handler.redirect_request(request, None, 302, "", {}, "http://example.org/a")
