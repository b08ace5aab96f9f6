"""The engine on a GPU. Experimental: it needs an exported model in a layout that a device runs."""
