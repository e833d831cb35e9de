import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import file_download

from swinv2.downloads import hub as hub_module
from swinv2.downloads.hub import from_hub
from swinv2.files.whole import NoRoomError


@pytest.mark.parametrize("large", [True, False])
def test_a_file_is_downloaded_once(hub, large):
    """Later uses only ask whether it is still the same."""
    hub.serve_file("me/tiny", "in/a.bin", b"weights", large)
    for _ in range(2):
        assert from_hub("me/tiny", "in/a.bin").read_bytes() == b"weights"
    assert [request.command for request in hub.requests if "a.bin" in request.path].count("GET") == 1


@pytest.mark.parametrize("large", [True, False])
def test_altered_files_are_found(hub, large):
    """By the digest that the hub has published, SHA-256 or git's; the error names what to delete."""
    hub.serve_file("me/tiny", "a.bin", b"weights", large)
    blob = from_hub("me/tiny", "a.bin").resolve()
    blob.write_bytes(b"Weights")
    with pytest.raises(ValueError, match=rf"a.bin is not what hf-hub:me/tiny has published: .*; delete {blob}"):
        from_hub("me/tiny", "a.bin")
    blob.unlink()
    assert from_hub("me/tiny", "a.bin").read_bytes() == b"weights"


def test_a_file_that_is_not_there_is_none(hub):
    """Of a repository that is there."""
    assert from_hub("me/tiny", "a.bin") is None


@pytest.mark.parametrize("repository", ["", "a/", "../..", "a b/c", "a" * 300 + "/b", "a/\0", "https:/", "a/b/c"])
def test_names_that_are_none_are_explained(hub, repository):
    """Nothing is asked for them."""
    with pytest.raises(FileNotFoundError, match=r"is not on the hub .*; write hf-hub:owner/name"):
        from_hub(repository, "a.bin")
    assert hub.requests == []


def test_files_do_not_lead_out_of_the_cache(hub):
    """Nor are they asked for."""
    with pytest.raises(ConnectionError, match=r"\.\./a of hf-hub:me/tiny cannot be downloaded"):
        from_hub("me/tiny", "../../../../a")
    assert not [one.path for one in hub.requests if one.path.endswith("/a")]  # those of tests before may come late


def test_a_repository_that_is_not_there_is_explained(hub):
    """The reason is one line."""
    hub.serve("/me/gone/resolve/main/a.bin", status=401, X_Error_Code="RepoNotFound")
    with pytest.raises(FileNotFoundError, match=r"hf-hub:me/gone is not on the hub \(.*; write") as caught:
        from_hub("me/gone", "a.bin")
    assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_left(hub, monkeypatch):
    """What is in the cache is taken, else the error says so."""
    hub.serve_file("me/tiny", "a.bin", b"weights")
    from_hub("me/tiny", "a.bin")
    monkeypatch.setattr(hub_module, "ANSWER", 0.2)
    hub.answers = dict.fromkeys(
        ("/me/tiny/resolve/main/a.bin", "/me/new/resolve/main/a.bin"), lambda _: time.sleep(0.4)
    )
    assert from_hub("me/tiny", "a.bin").read_bytes() == b"weights"
    with pytest.raises(ConnectionError, match="hf-hub:me/new cannot be downloaded, since the hub does not answer"):
        from_hub("me/new", "a.bin")


def test_a_file_needs_room(hub, monkeypatch):
    """Before it is downloaded."""
    hub.serve_file("me/tiny", "a.bin", b"weights")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5))
    with pytest.raises(NoRoomError, match=r"takes 7 bytes, and 5 are free. Make room, or set HF_HOME"):
        from_hub("me/tiny", "a.bin")


def test_caches_without_links_are_read(hub, monkeypatch):
    """On Windows, where nothing tells the digest."""
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda cache_dir=None: False)
    hub.serve_file("me/tiny", "a.bin", b"weights")
    path = from_hub("me/tiny", "a.bin")
    assert not Path(path).is_symlink()
    assert from_hub("me/tiny", "a.bin").read_bytes() == b"weights"
