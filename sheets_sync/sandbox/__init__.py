"""The local sheet and the local shops: the vendors' own protocols on this machine, for tests and rehearsal."""
