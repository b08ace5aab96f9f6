"""Files and batches over HTTP, in OpenAI's shapes: bulk runs whose state lies in files, so that any process goes on."""
