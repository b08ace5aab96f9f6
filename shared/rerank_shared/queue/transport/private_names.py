"""The private names of others that the fleet touches, and what for; a test asks whether they still exist.

All of `kombu.transport.redis` but its URLs and options is private in effect, so pyproject.toml keeps kombu and Celery
below their next minor versions. An upgrade begins here: read what these have become, then `make test-kombu`.

The channel puts the fleet's queue in the place of kombu's lists by overriding

- `kombu.transport.redis.Channel._put`: a job is placed by script, with its urgency
- `kombu.transport.redis.Channel._get`: a job is taken by script, for `basic_get`
- `kombu.transport.redis.Channel._brpop_read`: the answer of a blocking pop is a wake-up
- `kombu.transport.redis.Channel._restore`: a job is given back by script
- `kombu.transport.redis.Channel._size`: the length of the fleet's queue
- `kombu.transport.redis.Channel._has_queue`: whether it is there
- `kombu.transport.redis.Channel._purge`: emptying it
- `kombu.transport.redis.Channel._delete`: deleting it empties it
- `kombu.transport.redis.Channel._queue_bind`: a worker that starts on a full server is bound all the same
- `kombu.transport.redis.Channel._refresh_binding`: so are its bindings kept
- `kombu.transport.redis.Channel._refresh_bindings`: or left for when there is room
- `kombu.transport.redis.Channel._connparams`: connections have the options of the fleet's URL

and needs, for that,

- `kombu.transport.redis.Channel._active_queues`: which of its queues are consumed
- `kombu.transport.redis.Channel._queue_cycle`: the turn of queues goes on after an answer
- `kombu.transport.redis.Channel._in_poll`: the connection that waits for a wake-up, None once it was read
- `kombu.transport.redis.Channel._flush_brpop_reauth`: what kombu does when that connection is idle
- `kombu.transport.redis.Channel._q_for_pri`: the lists that a queue of priorities lies in
- `kombu.transport.redis.Channel._create_client`: a client that is not in use
- `kombu.transport.redis.Channel._closing`: whoever closes takes no more
- `kombu.transport.redis.Channel._disconnect_pools`: closing leaves no connection behind
- `kombu.transport.virtual.base.Transport._deliver`: hands a message to its consumer

The poller and the books of a channel touch

- `kombu.transport.redis.MultiChannelPoller._fd_to_chan`: whose connection has something to say
- `kombu.transport.redis.MultiChannelPoller._pause_brpop`: a wake-up is read, room or not
- `kombu.transport.virtual.base.QoS._delivered`: what is in hand
- `kombu.transport.virtual.base.QoS._flush`: without what was acknowledged

The result backend overrides

- `celery.backends.base.Backend._get_result_meta`: a record as Celery makes it
- `celery.backends.redis.RedisBackend._params_from_url`: the fleet's own reading of the URL
- `celery.backends.redis.RedisBackend._ConnectionPool`: one that waits, where the URL bounds connections
- `celery.backends.base.KeyValueStoreBackend._store_result`: storing, announcing and completing in one trip

The client's metrics need, where their module is imported again,

- `prometheus_client.registry.CollectorRegistry._names_to_collectors`: the metric that was made under a name
"""
