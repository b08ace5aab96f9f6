"""Files of texts by id, as corpora and queries come: their records, one by one."""
