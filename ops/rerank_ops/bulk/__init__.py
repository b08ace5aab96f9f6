"""Files of requests through the fleet: one JSON object a line, answered in order."""
