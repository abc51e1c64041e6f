"""The story, step by step. Each changes something at one server as its people would, and looks at the other ones."""

from services.contracts.app import TRASH
from services.demo.story.from_book import STEPS as FROM_BOOK
from services.demo.story.from_office import DELETION
from services.demo.story.from_office import STEPS as FROM_OFFICE
from services.demo.story.from_shop import STEPS as FROM_SHOP
from services.demo.story.in_the_end import STEPS as IN_THE_END
from services.demo.story.step import Step

STEPS: tuple[Step, ...] = (*FROM_SHOP, *FROM_OFFICE, *FROM_BOOK, *DELETION, *IN_THE_END)
"""The story."""

__all__ = ["STEPS", "TRASH", "Step"]
