"""CardDAV: address books on any server of RFC 6352, read by RFC 6578's change feed; Radicale is its sandbox."""
