"""The HTTP gateway: anything that speaks a rerank API uses the fleet by changing a base URL. Holds no model.

Needs the extra `gateway`; nothing is imported here, so that the package can be looked into without it.
"""
