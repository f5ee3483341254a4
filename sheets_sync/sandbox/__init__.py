"""The local sheet and the local shops: they speak the vendors' own protocols on this machine, for tests and rehearsal."""
