"""`rerank-fleet redis-acl`: the Redis user of each role, as lines of an ACL file."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_ops.cli.console import err
from rerank_ops.cli.options import RedisUrl, settings_from
from rerank_ops.redis_acl import NEEDS, Role, new_password, users
from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import url_of


def redis_acl(
    roles: Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(NEEDS)}. All without one.")] = None,
    new_passwords: Annotated[
        bool, typer.Option(help="Make passwords: hashes in the lines, the passwords themselves on stderr.")
    ] = False,
    url: RedisUrl = None,
) -> None:
    """Print what a Redis user of each role needs, and no more: commands, keys and channels.

    They are those of RERANK_NAMESPACE and of the database in the URL. Nothing connects. Redis 7 or later is needed.
    """
    settings = settings_from(url)
    for user in users(Keys(settings.namespace), [_role(name) for name in roles or NEEDS], url_of(settings).db):
        password, rule = new_password() if new_passwords else ("", f">{user.role.upper()}_PASSWORD")
        if new_passwords:
            err.print(f"{user.name} {password}", markup=False, highlight=False)
        print(user.line(rule))


def _role(name: str) -> Role:
    role = next((each for each in NEEDS if each == name), None)
    if role is None:
        raise ConfigurationError(f"there is no role {name!r}; roles are {', '.join(NEEDS)}")
    return role
