"""Tests of the export; a package, so that its conftest and the root one do not meet."""
