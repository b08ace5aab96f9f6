"""What a bulk run has done, on the disk: its journal, its outputs, the lock on them, and where it goes on."""
