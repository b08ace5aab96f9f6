"""What the APIs share: calls and replies, reading of bodies and documents, ranking of results, errors of no one API."""
