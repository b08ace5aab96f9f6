"""Tests of the mixin; a package, so that its conftest and the root one do not meet."""
