"""QuickBooks Online: customers of one company."""
