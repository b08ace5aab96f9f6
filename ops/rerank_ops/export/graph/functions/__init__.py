"""Functions of a graph: parts that a library of fused kernels replaces, with ONNX Runtime's operators as their body."""
