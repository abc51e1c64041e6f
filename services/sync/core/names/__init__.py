"""A person's name as one text and in parts: joining loses nothing, splitting changes only what changed."""

from services.sync.core.names.keeping import says, split, told
from services.sync.core.names.reading import parse
from services.sync.core.names.spoken import clean, join, tidy

__all__ = ["clean", "join", "parse", "says", "split", "tidy", "told"]
