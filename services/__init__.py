"""contactsync: keeps contacts in step between apps."""
