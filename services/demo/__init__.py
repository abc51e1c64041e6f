"""A whole synchronisation on this machine, to watch: Stripe, an address book and Google, each a server of its own."""

from services.demo.play import run

__all__ = ["run"]
