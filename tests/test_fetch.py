"""Downloads against a server on this host that breaks in every way it is told to; archives that mean harm."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import shutil
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import requests
from PIL import Image

from fixtures import download as download_module
from fixtures import fetch, home
from fixtures.datasets.cityscapes import DATASET as CITYSCAPES
from fixtures.datasets.div2k import DATASET as DIV2K
from fixtures.download import FetchError, download
from fixtures.remote import Remote
from fixtures.unpack import unpack


class Server:
    """Serves bytes by path, with ranges, and remembers what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str | None] = []
        """The Range header of each request."""
        self.cuts: list[int] = []
        """After how many bytes of the body each of the next responses ends."""
        self.ranges = True
        self.status: int | None = None
        self.lengths = True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.requests.append(wanted)
        body = self.files.get(request.path, b"")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if self.status or request.path not in self.files:
            request.send_error(self.status or 404)
        elif wanted and self.ranges and start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.end_headers()
        else:
            request.send_response(206 if start else 200)
            if self.lengths:
                request.send_header("Content-Length", str(len(body) - start))
            request.end_headers()
            end = start + self.cuts.pop(0) if self.cuts else len(body)
            request.wfile.write(body[start:end])

    def put(self, name: str, body: bytes, digits: int = 64, size: int | None = -1) -> Remote:
        self.files[f"/{name}"] = body
        url = f"http://127.0.0.1:{self._http.server_port}/{name}"
        return Remote(url, hashlib.sha256(body).hexdigest()[:digits], len(body) if size == -1 else size)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download_module, "BLOCK", 1000)
    server = Server()
    yield server
    server.close()


BODY = np.random.default_rng(0).bytes(300_000)


# Downloads


def test_brings_a_file_whole_and_tells_how_far_it_is(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "BLOCK", 100_000)
    told: list[tuple[int, int | None]] = []
    found = download(server.put("a.zip", BODY), tmp_path / "new" / "a.zip", lambda *step: told.append(step))
    assert (tmp_path / "new" / "a.zip").read_bytes() == BODY
    assert found == hashlib.sha256(BODY).hexdigest()
    assert told == [(100_000, 300_000), (200_000, 300_000), (300_000, 300_000)]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.zip"]


def test_goes_on_where_a_connection_was_cut(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.cuts = [100_000, 50_000]
    download(remote, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]


def test_goes_on_where_an_earlier_run_ended(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(BODY[:123_456])
    download(server.put("a.zip", BODY), tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.requests == ["bytes=123456-"]


def test_keeps_what_came_when_nothing_more_comes(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.cuts = [70_000, 0]
    with pytest.raises(
        FetchError, match=r"expected 300,000 bytes; found .*; 70,000 bytes are kept; .*run the command again"
    ):
        download(remote, tmp_path / "a.zip")
    assert (tmp_path / "a.zip.part").stat().st_size == 70_000
    assert not (tmp_path / "a.zip").exists()
    download(remote, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_gives_up_on_a_server_that_always_breaks(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.cuts = [1000] * 100
    with pytest.raises(FetchError, match="20,000 bytes are kept"):
        download(remote, tmp_path / "a.zip")


def test_starts_over_with_a_server_that_knows_no_ranges(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.ranges = False
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    download(remote, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_notices_an_early_end_without_a_length(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.lengths, server.cuts = False, [90_000]
    download(remote, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.requests == [None, "bytes=90000-"]


def test_needs_no_request_for_a_part_that_is_complete(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(BODY)
    download(server.put("a.zip", BODY), tmp_path / "a.zip")
    assert server.requests == []


def test_takes_a_complete_part_of_unknown_size_as_such(server, tmp_path):
    (tmp_path / "a.pt.part").write_bytes(BODY)
    download(server.put("a.pt", BODY, size=None), tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == BODY


@pytest.mark.parametrize("size", [-1, None])
def test_starts_over_when_the_part_is_longer_than_the_file(server, tmp_path, size):
    remote = server.put("a.zip", BODY, size=size)
    (tmp_path / "a.zip.part").write_bytes(BODY + b"more")
    download(remote, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_refuses_and_removes_a_file_with_another_digest(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.files["/a.zip"] = BODY[:-1] + b"?"
    with pytest.raises(FetchError, match=f"expected sha256 {remote.sha256}, as {remote.url} has; found [0-9a-f]{{64}}"):
        download(remote, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_compares_as_many_digits_as_are_published(server, tmp_path):
    download(server.put("a.pt", BODY, digits=8, size=None), tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == BODY


@pytest.mark.parametrize("lengths", [True, False])
def test_stops_when_more_comes_than_is_published(server, tmp_path, lengths):
    remote = server.put("a.zip", BODY[:1000])
    server.files["/a.zip"], server.lengths = BODY, lengths
    with pytest.raises(FetchError, match="expected 1,000 bytes; found more"):
        download(remote, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_quotes_what_the_server_answered(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.status = 503
    with pytest.raises(FetchError, match=r"found 503 .*; 0 bytes are kept; check network and proxy"):
        download(remote, tmp_path / "a.zip")


def test_says_when_no_server_answers(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.close()
    said = r"a\.zip: expected 300,000 bytes; found that the host 127\.0\.0\.1 cannot be reached; 0 bytes are kept; "
    with pytest.raises(FetchError, match=said):
        download(remote, tmp_path / "new" / "deep" / "a.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (requests.ConnectTimeout("<Pool 0x7f>"), "that the host example.invalid cannot be reached"),
        (requests.exceptions.ProxyError("<Pool 0x7f>"), "that the proxy does not lead to the host example.invalid"),
        (requests.exceptions.SSLError("<Pool 0x7f>"), "that the certificate of the host example.invalid cannot be"),
        (requests.ReadTimeout("<Pool 0x7f>"), "that the host example.invalid does not answer"),
        (requests.exceptions.ChunkedEncodingError("<Pool 0x7f>"), "that the connection ended early"),
    ],
)
def test_says_in_few_words_why_nothing_comes(tmp_path, monkeypatch, error, said):
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("requests.get", fail)
    with pytest.raises(FetchError, match=f"expected a whole file; found {said}") as refused:
        download(Remote("https://example.invalid:99/a.pt", "12"), tmp_path / "a.pt")
    assert "0x7f" not in str(refused.value)


def test_takes_back_only_folders_that_it_made_and_that_are_empty(server, tmp_path):
    remote = server.put("a.zip", BODY)
    server.cuts = [70_000, 0]
    with pytest.raises(FetchError):
        download(remote, tmp_path / "new" / "a.zip")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.zip.part"]
    (tmp_path / "old").mkdir()
    server.status = 503
    with pytest.raises(FetchError):
        download(remote, tmp_path / "old" / "a.zip")
    assert (tmp_path / "old").is_dir()


def test_asks_for_space_before_the_first_byte(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(FetchError, match="expected 300,000 free bytes; found 1,000; make room"):
        download(server.put("a.zip", BODY), tmp_path / "a.zip")
    assert server.requests == []


def test_keeps_what_came_when_the_disk_is_full(server, tmp_path, monkeypatch):
    remote = server.put("a.zip", BODY)
    monkeypatch.setattr(download_module, "BLOCK", 100_000)

    class Full(io.FileIO):
        def write(self, block: bytes) -> int:
            if self.tell() >= 200_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(block)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: Full(path, mode))
        with pytest.raises(FetchError, match="found No space left on device; 200,000 bytes are kept; make room, or"):
            download(remote, tmp_path / "a.zip")
    download(remote, tmp_path / "a.zip")
    assert server.requests[-1] == "bytes=200000-"
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_says_when_a_place_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FetchError, match=r"expected a place to write; found .*SIGNOFF_HOME"):
        download(server.put("a.zip", BODY), tmp_path / "file" / "a.zip")


# Archives


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, body in members:
            bundle.writestr(name, body)
    return path


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def test_unpacks_folders_and_files(tmp_path):
    unpack(zipped(tmp_path / "a.zip", ("d/", b""), ("d/e/f.png", b"123"), ("g", b"")), tmp_path / "out", 100)
    assert (tmp_path / "out/d/e/f.png").read_bytes() == b"123"
    assert (tmp_path / "out/g").read_bytes() == b""


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("../evil", "leads outside"),
        ("d/../../evil", "leads outside"),
        ("/evil", "leads outside"),
        ("..\\evil", "leads outside"),
        ("C:evil", "leads outside"),
        ("./", "leads outside"),
        (link("evil"), "a link or a device"),
    ],
    ids=["up", "down and up", "absolute", "backslash", "drive", "itself", "link"],
)
def test_refuses_members_that_lead_outside(tmp_path, member, wrong):
    archive = zipped(tmp_path / "a.zip", ("good", b"1"), (member, b"/etc"))
    with pytest.raises(FetchError, match=f"found .*{wrong}.*; nothing was unpacked"):
        unpack(archive, tmp_path / "out", 100)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_a_name_that_occurs_twice(tmp_path):
    with pytest.raises(FetchError, match="a name that occurs twice"):
        unpack(zipped(tmp_path / "a.zip", ("a", b"1"), ("a", b"2")), tmp_path / "out", 100)


def test_refuses_a_bomb_before_it_writes_anything(tmp_path):
    archive = zipped(tmp_path / "a.zip", ("a", bytes(10_000_000)))
    with pytest.raises(FetchError, match=r"expected at most 20,000 bytes in .*; found 10,000,000 in 1"):
        unpack(archive, tmp_path / "out", 20_000)
    assert not (tmp_path / "out").exists()


def test_writes_no_more_than_a_member_declares(tmp_path):
    """A directory of the archive that understates the size."""
    archive = zipped(tmp_path / "a.zip", ("a", bytes(10_000_000)))
    archive.write_bytes(archive.read_bytes().replace((10_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(FetchError, match="expected a whole zip file"):
        unpack(archive, tmp_path / "out", 20_000)
    assert (tmp_path / "out/a").stat().st_size <= 10


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-30], lambda data: data[:60] + b"????" + data[64:], lambda data: b""]
)
def test_refuses_a_damaged_archive(tmp_path, damage):
    archive = zipped(tmp_path / "a.zip", ("a", BODY[:1000]))
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(FetchError, match="expected a whole zip file"):
        unpack(archive, tmp_path / "out", 10_000)


def test_asks_for_space_before_it_unpacks(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", ("a", BODY[:1000]))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
    with pytest.raises(FetchError, match="expected 1,000 free bytes to unpack to; found 999"):
        unpack(archive, tmp_path / "out", 10_000)


# The command


@dataclass
class Command:
    """`fetch` with registries of this test's own."""

    registry: dict[str, dict[str, object]]

    def __call__(self, *argv: str) -> int:
        return fetch.main(argv)


@pytest.fixture
def command(tmp_path, monkeypatch) -> Command:
    """Run `fetch` with everything below a folder of this test; models are added by the tests."""
    monkeypatch.setenv("SIGNOFF_HOME", str(tmp_path / "home"))
    registry = {"data set": {"div2k": DIV2K, "cityscapes": CITYSCAPES}, "model": {}}
    monkeypatch.setattr(fetch, "entries", lambda kind: MappingProxyType(registry[kind]))
    return Command(registry)


@pytest.fixture(scope="module")
def published() -> dict[str, bytes]:
    """Both archives of DIV2K, with 100 pairs of small pictures."""
    high = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8))
    low = high.resize((12, 8), Image.Resampling.BICUBIC)
    archives = {}
    for folder, picture, x2 in (("DIV2K_valid_HR", high, ""), ("DIV2K_valid_LR_bicubic/X2", low, "x2")):
        png, packed = io.BytesIO(), io.BytesIO()
        picture.save(png, "PNG")
        with zipfile.ZipFile(packed, "w") as bundle:
            for number in range(801, 901):
                bundle.writestr(f"{folder}/0{number}{x2}.png", png.getvalue())
        archives[folder.split("/")[0]] = packed.getvalue()
    return archives


@pytest.fixture
def remotes(server, published, monkeypatch) -> tuple[Remote, ...]:
    """DIV2K as this test's server has it."""
    remotes = tuple(server.put(f"{name}.zip", body) for name, body in published.items())
    monkeypatch.setattr(type(DIV2K), "archives", remotes)
    return remotes


def test_fetches_div2k_checks_it_and_publishes_it(command, remotes, tmp_path, capsys):
    assert command("div2k") == 0
    assert len(DIV2K.names(home.data_folder("div2k"))) == 100
    assert [path.name for path in (tmp_path / "home/data").iterdir()] == ["div2k"]
    assert "100 samples, digest" in capsys.readouterr().out


def test_only_checks_what_is_there_already(command, remotes, server, capsys):
    assert command("div2k") == 0
    server.requests.clear()
    assert command("div2k") == 0
    (home.data_folder("div2k") / "DIV2K_valid_HR/0850.png").unlink()
    assert command("div2k") == 1
    assert server.requests == []
    assert "0850: expected one HR image" in capsys.readouterr().err


def test_goes_on_after_a_break(command, remotes, server, capsys):
    server.cuts = [5000, 0]
    assert command("div2k") == 1
    assert "5,000 bytes are kept" in capsys.readouterr().err
    assert not home.data_folder("div2k").exists()
    assert command("div2k") == 0
    assert "bytes=5000-" in server.requests


@pytest.mark.parametrize("name", ["div2k", "edsr"])
def test_leaves_nothing_behind_offline(command, remotes, server, tmp_path, capsys, name):
    command.registry["model"]["edsr"] = weights(server.put("edsr-1bc95232.pt", BODY, digits=8))
    server.close()
    assert command(name) == 1
    assert "found that the host 127.0.0.1 cannot be reached" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_takes_archives_that_were_carried_here(command, remotes, server, published, tmp_path, capsys):
    command("div2k", "--list", "--to", str(tmp_path / "mine"))
    targets = [Path(line.split()[1]) for line in capsys.readouterr().out.splitlines() if line.startswith("  target")]
    for target, body in zip(targets, published.values(), strict=True):
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(body)
    assert command("div2k", "--to", str(tmp_path / "mine")) == 0
    assert server.requests == []
    assert len(DIV2K.names(tmp_path / "mine")) == 100


def test_refuses_a_carried_archive_that_is_another_and_leaves_it(command, remotes, tmp_path, capsys):
    carried = tmp_path / "home/data/div2k.download/DIV2K_valid_HR.zip"
    carried.parent.mkdir(parents=True)
    carried.write_bytes(b"PK")
    assert command("div2k") == 1
    assert "expected sha256" in capsys.readouterr().err
    assert carried.exists()


def test_publishes_nothing_that_fails_the_check(command, remotes, server, monkeypatch, tmp_path, capsys):
    half = io.BytesIO()
    with zipfile.ZipFile(half, "w") as bundle:
        bundle.writestr("DIV2K_valid_HR/0801.png", b"x")
    monkeypatch.setattr(type(DIV2K), "archives", (server.put("half.zip", half.getvalue()), remotes[1]))
    assert command("div2k") == 1
    assert "and 90 more problems, 100 in all" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "home/data").iterdir()] == ["div2k.download"]


def test_clears_what_a_killed_run_left(command, remotes, tmp_path):
    left = tmp_path / "home/data/.div2k.unpacking/DIV2K_valid_HR"
    left.mkdir(parents=True)
    (left / "0901.png").write_bytes(b"x")
    assert command("div2k") == 0


def test_keeps_a_second_fetch_out(command, remotes, tmp_path, capsys):
    from filelock import FileLock

    downloads = tmp_path / "home/data/div2k.download"
    downloads.mkdir(parents=True)
    with FileLock(downloads / "lock"):
        assert command("div2k") == 1
    assert "found another fetch at work" in capsys.readouterr().err


def test_says_when_the_cache_cannot_be_written(command, remotes, tmp_path, capsys):
    (tmp_path / "home").write_text("a file")
    assert command("div2k") == 1
    assert "choose another place with --to DIR or SIGNOFF_HOME" in capsys.readouterr().err


def test_keeps_what_came_on_ctrl_c(command, remotes, monkeypatch, tmp_path, capsys):
    def interrupt(remote: Remote, target: Path, progress: object) -> str:
        target.with_name("a.part").write_bytes(b"123")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "download", interrupt)
    assert command("div2k") == 130
    assert "interrupted; what arrived is kept" in capsys.readouterr().err
    assert (tmp_path / "home/data/div2k.download/a.part").exists()


def weights(remote: Remote) -> SimpleNamespace:
    checkpoint = SimpleNamespace(path="weights.pt", sha256=remote.sha256, url=remote.url)
    own = SimpleNamespace(path=Path("sample.safetensors"), sha256=None, url=None)
    return SimpleNamespace(
        profiles={"sample": SimpleNamespace(checkpoint=own), "official": SimpleNamespace(checkpoint=checkpoint)}
    )


def test_fetches_a_checkpoint_by_the_name_of_its_model(command, server, capsys):
    command.registry["model"]["edsr"] = weights(server.put("edsr-1bc95232.pt", BODY, digits=8))
    assert command("edsr") == 0
    assert (home.checkpoints() / "weights.pt").read_bytes() == BODY
    assert hashlib.sha256(BODY).hexdigest() in capsys.readouterr().out
    assert command("edsr") == 0
    assert len(server.requests) == 1


def test_refuses_a_checkpoint_that_lies_there_and_is_another(command, server, capsys):
    command.registry["model"]["edsr"] = weights(server.put("edsr-1bc95232.pt", BODY, digits=8))
    home.checkpoints().mkdir(parents=True)
    (home.checkpoints() / "weights.pt").write_bytes(b"other")
    assert command("edsr") == 1
    assert "expected sha256" in capsys.readouterr().err
    assert (home.checkpoints() / "weights.pt").exists()


def test_explains_how_to_get_cityscapes(command, tmp_path, capsys):
    assert command("cityscapes") == 1
    said = capsys.readouterr().err
    for part in (
        "www.cityscapes-dataset.com",
        "leftImg8bit_trainvaltest.zip   11 GB",
        "gtFine_trainvaltest.zip        241 MB",
    ):
        assert part in said
    assert str(home.data_folder("cityscapes")) in said


def test_checks_what_the_user_put_there(command, tmp_path, capsys):
    from fixtures.model import SAMPLE

    shutil.copytree(SAMPLE / "street_scenes", home.data_folder("cityscapes"))
    assert command("cityscapes") == 1
    assert "frankfurt: expected 267 images in the published set; found 0" in capsys.readouterr().err


def test_lists_everything_without_touching_the_network_or_the_disk(command, tmp_path, capsys):
    command.registry["model"]["edsr"] = weights(Remote("https://example.invalid/e.pt", "1bc95232"))
    assert command("--list") == 0
    said = capsys.readouterr().out
    for remote in DIV2K.archives:
        assert remote.url in said
        assert remote.sha256 in said
        assert f"{remote.size:,} bytes" in said
        assert str(tmp_path / "home/data/div2k.download" / remote.filename) in said
    assert re.search(r"sha256  1bc95232 \(the first digits", said)
    assert str(home.checkpoints() / "weights.pt") in said
    assert "www.cityscapes-dataset.com" in said
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("argv", "said"), [((), "found no name"), (("dvi2k",), "did you mean 'div2k'")])
def test_refuses_a_name_it_does_not_know(command, argv, said, capsys):
    with pytest.raises(SystemExit):
        command(*argv)
    assert said in capsys.readouterr().err
