"""Reports as one HTML file: no network, no script; for a screen, a phone and paper."""
