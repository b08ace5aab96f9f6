"""Tests of other people's SDKs, which know nothing of this project, against a real gateway and a real fleet."""
