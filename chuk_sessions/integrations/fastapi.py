"""Dependencies of FastAPI for the session, and the security scheme that describes its cookie in OpenAPI.

```python
app = FastAPI()
app.add_middleware(SessionMiddleware, lazy=True)


@app.get("/cart")
async def cart(session: CurrentSession) -> list[str]:
    return session.get("cart", [])
```
"""

# FastAPI's older versions cannot resolve annotations of callable objects that are strings.
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Security
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from .asgi import SessionMiddleware
from .session import Session

SCHEME_NAME: Final = "SessionCookie"


class SessionCookie(SecurityBase):
    """A dependency that returns the loaded session. In OpenAPI, it is a security scheme: an API key in a cookie."""

    def __init__(self, cookie_name: str = "__Host-session", *, scheme_name: str = SCHEME_NAME) -> None:
        """Describe a cookie by its full name."""
        self.model = APIKey.model_validate({"in": APIKeyIn.cookie, "name": cookie_name})
        self.scheme_name = scheme_name

    async def __call__(self, connection: HTTPConnection) -> Session:
        """Return the session of a request or WebSocket.

        Raises:
            RuntimeError: `SessionMiddleware` is not installed.

        """
        session = connection.scope.get("session")
        if not isinstance(session, Session):
            raise RuntimeError("install chuk_sessions.integrations.asgi.SessionMiddleware to use the session")
        await session.load()
        session.mark_accessed()
        return session


session_cookie: Final = SessionCookie()
"""The security scheme of the dependencies below. If the middleware's cookie has another name, change `model.name`."""

CurrentSession = Annotated[Session, Security(session_cookie)]
"""The session of the request: `async def view(session: CurrentSession)`."""


def require_user(session: CurrentSession) -> str:
    """Return the id of the user who is logged in. Otherwise, the response is status 401.

    Use it as `user: CurrentUser`, or for many routes with `dependencies=[Depends(require_user)]`.
    """
    if session.user_id is None:
        raise HTTPException(status_code=401, detail="Not logged in", headers={"WWW-Authenticate": SCHEME_NAME})
    return session.user_id


CurrentUser = Annotated[str, Depends(require_user)]
"""The id of the user who is logged in: `async def view(user: CurrentUser)`. Otherwise, the response is status 401."""

__all__ = ["CurrentSession", "CurrentUser", "SessionCookie", "SessionMiddleware", "require_user", "session_cookie"]
