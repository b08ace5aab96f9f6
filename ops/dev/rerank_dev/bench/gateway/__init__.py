"""`make bench-gateway`: what HTTP adds to the Python client, what one gateway process bears, and a peer beside it.

Every part is real: server, workers, gateway and peer are processes of their own, and so is what sends the load.
"""
