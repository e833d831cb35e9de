import hashlib
import subprocess

import pytest

from swinv2.downloads.digests import check_recorded, digest_in, git_sha1, record, sha256


def test_digests_are_those_of_sha256sum_and_git(tmp_path):
    """A record can be checked by sha256sum, too."""
    file = tmp_path / "a b.pth"
    file.write_bytes(b"weights")
    assert sha256(file) == hashlib.sha256(b"weights").hexdigest()
    assert git_sha1(file) == hashlib.sha1(b"blob 7\0weights").hexdigest()
    record(file, sha256(file))
    subprocess.run(
        ["sha256sum", "--check", "--strict", "a b.pth.sha256"], cwd=tmp_path, check=True, capture_output=True
    )


def test_altered_files_are_found(tmp_path):
    """The first use records what there is; later ones compare, and name both files."""
    file = tmp_path / "a.pth"
    file.write_bytes(b"weights")
    check_recorded(file)
    check_recorded(file)
    file.write_bytes(b"Weights")
    with pytest.raises(
        ValueError, match=r"a.pth is not as it was downloaded: .* delete|Delete both .*, or a.pth.sha256"
    ):
        check_recorded(file)


def test_a_record_that_is_none_is_a_difference(tmp_path):
    """Whatever bytes are in it."""
    file = tmp_path / "a.pth"
    file.write_bytes(b"weights")
    (tmp_path / "a.pth.sha256").write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="not as it was downloaded"):
        check_recorded(file)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("swin_v2_t-b137f0e2.pth", "b137f0e2"),
        ("swinv2-tiny-w8_3rdparty_in1k-256px_20220803-e318968f.pth", "e318968f"),
        (f"a-{'0a' * 32}.safetensors", "0a" * 32),
        *(("model-20240131.pth", ""), ("b137f0e2.pth", ""), ("a-b137f0e.pth", ""), ("a-b137f0e2-x.pth", "")),
        *(("a-B137F0E2.pth", ""), ("swinv2_tiny_patch4_window8_256.pth", ""), ("", "")),
    ],
)
def test_names_with_digests(name, digest):
    """Torchvision's, torch.hub's and OpenMMLab's; a date is none."""
    assert digest_in(name) == digest
