"""`parquet`: a pair a row, or a query a row with lists; rows come back with scores, ranks and errors beside them."""
