"""From a model as it is published to the artefact that workers run."""
