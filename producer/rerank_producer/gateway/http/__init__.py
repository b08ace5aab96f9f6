"""HTTP around the APIs: the bounded protocol, bodies, headers, origins, paths and problems."""
