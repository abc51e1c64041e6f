"""A whole synchronisation on this machine, to watch: Stripe and an address book, played by other people's servers."""

from services.demo.play import run

__all__ = ["run"]
