"""Multi-tenant use: one sandbox per tenant, limits per plan, and one sweep for all tenants.

It runs on the in-process emulator. To run it on a server, set SESSION_PROVIDER=redis and SESSION_REDIS_URL.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from chuk_sessions import SessionLimitError, SessionManager

SESSIONS_PER_USER = {"team": 2, "enterprise": 10}


@dataclass
class Tenants:
    """The managers of all tenants. A manager is cheap: all of them share one connection per server.

    Attributes:
        plans: the plan of each tenant.

    """

    plans: dict[str, str]
    _managers: dict[str, SessionManager] = field(default_factory=dict[str, SessionManager])

    def manager(self, tenant: str) -> SessionManager:
        """Return the tenant's manager."""
        if tenant not in self._managers:
            max_sessions = SESSIONS_PER_USER[self.plans[tenant]]
            self._managers[tenant] = SessionManager(
                f"tenant-{tenant}", max_sessions_per_user=max_sessions, when_full="refuse", default_ttl_hours=12
            )
        return self._managers[tenant]

    async def aclose(self) -> None:
        """Close every manager."""
        for manager in self._managers.values():
            await manager.aclose()


async def log_in(tenants: Tenants, tenant: str, user_id: str) -> str | None:
    """Return a session id, or None if the plan allows the user no more sessions."""
    try:
        return await tenants.manager(tenant).allocate_session(user_id=user_id, custom_metadata={"tenant": tenant})
    except SessionLimitError:
        return None


async def main() -> None:
    """Log in the same user at two tenants, and show that the sandboxes are separate."""
    tenants = Tenants({"acme": "team", "globex": "enterprise"})
    acme, globex = tenants.manager("acme"), tenants.manager("globex")
    for manager in (acme, globex):
        await manager.revoke_user_sessions("alice")

    at_acme = [await log_in(tenants, "acme", "alice") for _ in range(3)]
    at_globex = [await log_in(tenants, "globex", "alice") for _ in range(3)]
    print("sessions at acme:", at_acme.count(None), "of 3 refused; at globex:", at_globex.count(None), "of 3 refused")

    acme_id = at_acme[0] or ""
    print("acme's id is valid at acme:", await acme.validate_session(acme_id))
    print("acme's id is valid at globex:", await globex.validate_session(acme_id))
    print("globex can delete it:", await globex.delete_session(acme_id))

    print("revoked at acme:", await acme.revoke_user_sessions("alice"))
    print("left at globex:", await globex.count_sessions("alice"))

    # In production, one process runs this every few minutes for all tenants.
    swept = await acme.cleanup_expired_sessions(all_sandboxes=True)
    print("the sweep ran:", swept >= 0)
    await tenants.aclose()


if __name__ == "__main__":
    asyncio.run(main())
