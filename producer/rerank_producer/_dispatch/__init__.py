"""One request on its way: looked up, sent in shards, waited for, hedged, collected."""
