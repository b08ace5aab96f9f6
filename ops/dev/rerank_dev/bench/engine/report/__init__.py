"""The figures of the engine bench as tables, a chart and the marked parts of the docs."""
