"""Charts of a report as geometry: what is drawn where, which the page's templates turn into SVG. Pure."""
