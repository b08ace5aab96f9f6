"""kombu's and Celery's own tests, run on the fleet's transport and result backend in place of theirs.

`make test-kombu` fetches the source distributions of the installed versions, which hold the tests, and runs those that
touch Redis on a server of its own. What should differ is listed in expected.toml, each with its reason; any other
difference fails, and so does a listed one that is none any more. `make test-kombu CONTROL=1` runs kombu's own classes
instead and lists what fails on them here.
"""
