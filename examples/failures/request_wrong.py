"""The request is wrong, or of another version: an error that names the field, the model, or both versions.

python examples/failures/request_wrong.py
"""

import msgpack

from rerank_producer import InvalidRequest, RerankClient, UnknownModel, WireError
from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import TASK_NAME, make_celery


def main() -> None:
    """Ask three things that no second try would mend: none of these errors is retryable."""
    with RerankClient() as client:
        try:
            client.rerank("Which room?", [{"text": "A room."}, {"title": "no text"}], deadline_ms=60_000)
        except InvalidRequest as error:
            print("InvalidRequest:", error)
        try:
            client.rerank("Which room?", ["A room."], model="org/nobody-serves-it", deadline_ms=60_000)
        except UnknownModel as error:
            print("UnknownModel:", error)
        # What a release of the future would send.
        with make_celery(client.settings) as app:
            queue = Keys(client.settings.namespace).queue("interactive")
            sent = app.send_task(TASK_NAME, (msgpack.packb([99, "job", []]),), queue=queue)
            try:
                sent.get(timeout=60)
            except WireError as error:
                print(f"{type(error).__name__}:", error)
    # Prints:
    # InvalidRequest: documents.1: a text, or an object of either `text` or `token_ids`, expected
    # UnknownModel: model: 'org/nobody-serves-it' is not served by this fleet...
    # UnsupportedVersion: wire version 99 is not known here...


if __name__ == "__main__":
    main()
