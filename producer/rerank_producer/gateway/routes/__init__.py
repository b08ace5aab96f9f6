"""The paths: each file declares operations, which the router serves and the OpenAPI document describes."""
