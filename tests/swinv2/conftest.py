"""A web server and a Hugging Face hub on this machine, with empty caches for what is downloaded from them."""

import huggingface_hub.constants
import pytest

from tests.web import Web


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server, and an empty cache for what is downloaded from it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    with Web() as web:
        yield web


@pytest.fixture
def hub(web, tmp_path, monkeypatch):
    """A Hugging Face hub without repositories, and an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", web.address)
    template = f"{web.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield web
    huggingface_hub.close_session()
