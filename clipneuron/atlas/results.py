"""Which stages hold the files of an atlas, as the run records it."""

from clipneuron.store.outlines import Results


class AtlasResults(Results):
    """The stages whose tables are the site."""

    line = "atlas"
    pages: tuple[str, ...]
    """With the table `pages`."""
    thumbnails: tuple[str, ...]
    """With the table `thumbnails`."""
