"""Logins with tokens of a cloud: Azure (Entra ID), AWS (ElastiCache IAM), and Google Cloud (Memorystore IAM).

```python
redis.factory("rediss://my-cache.example:6379", credentials=elasticache_iam("app", "my-cache", region="eu-west-1"))
```

To configure the same in the environment, set SESSION_REDIS_AUTH; see `from_env`. Each service needs an extra of its
own:
`chuk-sessions[azure]`, `chuk-sessions[aws]`, or `chuk-sessions[gcp]`.
"""

from .elasticache import elasticache_iam
from .entraid import entraid
from .environment import from_env
from .memorystore import memorystore_iam
from .tokens import Token, TokenCredentials

__all__ = ["Token", "TokenCredentials", "elasticache_iam", "entraid", "from_env", "memorystore_iam"]
