"""MkDocs hook: links from pages to files of the repository lead to pages of the site that show these files.

The README is the first page. A Markdown file outside `docs/` (benchmarks, CONTRIBUTING, …) becomes a page as it is, any
other file that a page links to a page with its text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(\]\()(?!\w+:)([^)#\s]+)")  # of Markdown, but for those with a scheme and those within the page
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml", ".json": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the first page, and every file that pages link to, page by page."""
    waiting = ["README.md", *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    while waiting:
        path = waiting.pop()
        if files.get_file_from_path(site_path(path)) is None:
            files.append(File.generated(config, site_path(path), content=text_of(path)))
        new = {target for target in targets(path) if files.get_file_from_path(site_path(target)) is None}
        waiting += [target for target in new if (ROOT / target).is_file()]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    path = repository_path(page.file.src_uri)
    folder = posixpath.dirname(page.file.src_uri) or "."
    return LINK.sub(
        lambda link: link[1] + posixpath.relpath(site_path(resolve(path, link[2])), folder),
        markdown,
    )


def targets(path: str) -> set[str]:
    """Files of the repository that a page links to."""
    text = (ROOT / path).read_text() if path.endswith(".md") else ""
    return {resolve(path, target) for _, target in LINK.findall(text)}


def resolve(path: str, target: str) -> str:
    """A link of a file, as a path in the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def site_path(path: str) -> str:
    """Where a file of the repository is in the site."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/") and not path.endswith(".py"):
        return path.removeprefix("docs/")
    return path if path.endswith(".md") else f"files/{path}.md"


def repository_path(site: str) -> str:
    """The file that a page of the site shows."""
    if site == "index.md":
        return "README.md"
    return f"docs/{site}" if (ROOT / "docs" / site).is_file() else site


def text_of(path: str) -> str:
    """A file as a page."""
    text = (ROOT / path).read_text()
    if path.endswith(".md"):
        return text
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{text.rstrip()}\n````\n"
