"""A page as HTML: all that it needs is in it, every text is escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from rerank_ops.report.blocks import Page
from rerank_ops.report.text import in_one_line, signed
from rerank_producer.bulk.files.durable import whole_beside


def page_html(page: Page) -> str:
    """Return a page as one document of HTML."""
    environment = Environment(
        loader=PackageLoader("rerank_ops.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=signed, line=in_one_line)
    return environment.get_template("page.html").render(page=page)


def write_page(path: Path, page: Page) -> None:
    """Write a page, whole or not at all. Raises OSError."""
    with whole_beside(path) as temporary:
        temporary.write_text(page_html(page), encoding="utf-8")
