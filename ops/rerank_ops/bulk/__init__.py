"""Files of requests that the fleet answers: one JSON object a line, answers in the same order."""
