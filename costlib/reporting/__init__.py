"""What people read: pages of four verbs over frames, every number in a ledger."""
