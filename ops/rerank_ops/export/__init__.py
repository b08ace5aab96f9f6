"""Export: turns a published model into the artefact that workers run."""
