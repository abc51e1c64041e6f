"""What can be wrong with an archive."""


class ArchiveError(Exception):
    """An archive can't be read, added to or imported. The text says which part and line, and what to do.

    It holds nothing of what the archive's lines say.
    """
