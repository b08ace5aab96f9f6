"""The engine on a GPU. Experimental: it needs an artefact in a layout that a device runs."""
