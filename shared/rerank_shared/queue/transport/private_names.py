"""Private names of other packages that the fleet uses, with the reason for each; a test checks that they still exist.

All of `kombu.transport.redis` but its URLs and options is private in effect, so pyproject.toml keeps kombu and Celery
below their next minor versions. An upgrade begins here: compare these names with the new release, then run
`make test-kombu`.

The channel puts the fleet's queue in the place of kombu's lists by overriding

- `kombu.transport.redis.Channel._put`: a job is placed by script, with its urgency
- `kombu.transport.redis.Channel._get`: a job is taken by script, for `basic_get`
- `kombu.transport.redis.Channel._brpop_read`: the answer of a blocking pop is a wake-up
- `kombu.transport.redis.Channel._restore`: a job is given back by script
- `kombu.transport.redis.Channel._size`: the length of the fleet's queue
- `kombu.transport.redis.Channel._has_queue`: whether the fleet's queue holds jobs
- `kombu.transport.redis.Channel._purge`: drops all jobs that wait
- `kombu.transport.redis.Channel._delete`: deleting the fleet's queue drops its jobs
- `kombu.transport.redis.Channel._queue_bind`: a worker can bind its queue on a full server
- `kombu.transport.redis.Channel._refresh_binding`: bindings are refreshed on a full server
- `kombu.transport.redis.Channel._refresh_bindings`: or refreshed later, once there is room
- `kombu.transport.redis.Channel._connparams`: connections have the options of the fleet's URL

and needs, for that,

- `kombu.transport.redis.Channel._active_queues`: which of its queues are consumed
- `kombu.transport.redis.Channel._queue_cycle`: the turn of queues goes on after an answer
- `kombu.transport.redis.Channel._in_poll`: the connection that waits for a wake-up, None once it was read
- `kombu.transport.redis.Channel._flush_brpop_reauth`: what kombu does when that connection is idle
- `kombu.transport.redis.Channel._q_for_pri`: the lists that a queue of priorities lies in
- `kombu.transport.redis.Channel._create_client`: a client that is not in use elsewhere
- `kombu.transport.redis.Channel._closing`: a closing channel takes no more jobs
- `kombu.transport.redis.Channel._disconnect_pools`: closing leaves no connection behind
- `kombu.transport.virtual.base.Transport._deliver`: hands a message to its consumer

The poller and the QoS of a channel use

- `kombu.transport.redis.MultiChannelPoller._fd_to_chan`: the channel of a readable connection
- `kombu.transport.redis.MultiChannelPoller._pause_brpop`: a wake-up is read, room or not
- `kombu.transport.virtual.base.QoS._delivered`: the messages that were delivered
- `kombu.transport.virtual.base.QoS._flush`: drops the acknowledged ones from these

The result backend overrides or uses

- `celery.backends.base.Backend._get_result_meta`: makes a record as Celery does
- `celery.backends.redis.RedisBackend._params_from_url`: the fleet's own reading of the URL
- `celery.backends.redis.RedisBackend._ConnectionPool`: a pool that waits, where the URL bounds connections
- `celery.backends.base.KeyValueStoreBackend._store_result`: storing, announcing and completing in one trip

The client's metrics need, where their module is imported again,

- `prometheus_client.registry.CollectorRegistry._names_to_collectors`: the metric that was made under a name
"""
