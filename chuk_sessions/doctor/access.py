"""Checks of access: TLS, certificates, the rights of the user, and who else gets in."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

from ..core.inspection import Part, UnansweredError
from . import rights as needed
from .case import Case
from .facts import BlockedError, Facts
from .finding import Verdict, ok, problem, unknown, warning

_DAY = 86_400
_EXPIRES_SOON, _EXPIRES_NEXT = 7, 30
"""Days before the expiry of a certificate."""

_OWN_USER = (
    "Create a user for the application with exactly the rights in docs/production.md (Access) on every server, save it "
    "(`ACL SAVE`, or `CONFIG REWRITE` without an ACL file), and use it in the URL. Run `ACL SETUSER default off` only "
    "once no client uses the default user: replicas and Sentinels do, unless masteruser and auth-user name another one."
)


def is_local(server: Facts) -> bool:
    """Return whether this process reaches the server without a network."""
    peer = server.server.peer()
    if peer is None or not peer.ip:
        return True
    return ip_address(peer.ip.partition("%")[0]).is_loopback


def tls(server: Facts, case: Case) -> Iterator[Verdict]:
    """Check that a connection over a network is encrypted, with a certificate that is checked and does not expire."""
    peer = server.server.peer()
    if peer is None:
        raise BlockedError("the connection is closed", "Run the doctor again.")
    if not peer.tls:
        yield _plain(server, peer.ip)
        return
    if not case.inspection.settings.checks_certificates:
        yield problem(
            "TLS is on, but certificates are not checked: anybody on the network can pose as the server, and read and "
            "change sessions",
            "Unset REDIS_TLS_INSECURE, remove ssl_cert_reqs from the URL, and pass your own certificate authority as "
            "`?ssl_ca_certs=PATH`.",
        )
        return
    yield _certificate(peer.certificate.get("notAfter"), case.clock())


def _plain(server: Facts, ip: str) -> Verdict:
    if is_local(server):
        return ok("the connection does not leave this machine")
    return problem(
        f"the connection to {ip} is not encrypted: anybody on the network between can read the password, owners, and "
        "metadata, and can change sessions",
        "Turn TLS on in the server (`tls-port`), and begin the URL with rediss://. For your own certificate authority, "
        "add `?ssl_ca_certs=PATH`. If a service mesh or VPN encrypts this network, ignore this.",
    )


def _certificate(expiry: object, now: float) -> Verdict:
    if not isinstance(expiry, str):
        return unknown("the server's certificate cannot be read", "Check its expiry with `openssl s_client`.")
    days = int((ssl.cert_time_to_seconds(expiry) - now) // _DAY)
    if days >= _EXPIRES_NEXT:
        return ok(f"TLS is on, and the certificate is valid for {days:,} more days")
    return (problem if days < _EXPIRES_SOON else warning)(
        f"the server's certificate expires in {days} days ({expiry}). From then on, no new connection can be opened",
        "Renew the certificate, and let the server load it (`CONFIG SET tls-cert-file PATH`, or a restart).",
    )


async def rights(server: Facts, case: Case) -> AsyncIterator[Verdict]:
    """Check that the user has the rights that the library needs."""
    key = needed.key_on(server, case)
    if key is None:
        return
    refused = await needed.refused(server.server, key, needed.COMMANDS)
    if refused is None:
        yield _rights_shown_by_trial(server, case)
    elif refused:
        yield problem(
            f"this user may not run {', '.join(refused)} on keys that begin with chuk1: calls that need them fail",
            f"Run `ACL SETUSER {case.inspection.settings.username or 'default'} {needed.rules_for(refused)}` on every "
            "server, and save it in the ACL file. docs/production.md (Access) has all rights that are needed.",
        )
    else:
        yield ok("this user has the rights that the scripts need")
    for name in await needed.blocked_queries(server.server):
        yield unknown(
            f"this user may not run {name}: {needed.QUERIES[name]}",
            f"Add +{name.lower()} to the rights of this user.",
        )


def _rights_shown_by_trial(server: Facts, case: Case) -> Verdict:
    trial = case.trials.get(server.server.address)
    if trial is None or trial.failed:
        return unknown(
            "this version of the server does not show which rights the user has",
            "Compare the output of `ACL GETUSER` with docs/production.md (Access).",
        )
    return ok("this user has the rights that a session needs: the trial session worked")


async def exposure(server: Facts, case: Case) -> AsyncIterator[Verdict]:
    """Check that nobody gets in without a login, and that the user of the application cannot destroy everything."""
    try:
        open_to_all = await server.server.admits_anyone()
    except UnansweredError:
        open_to_all = False
    if open_to_all and server.server.part is Part.SENTINEL and not is_local(server):
        yield warning(
            "the Sentinel takes commands without a login over the network: whoever can connect can name another server "
            "as the primary, and clients follow",
            "Set a password on each Sentinel (`requirepass`, `sentinel sentinel-pass`), and add it to the URL as "
            "`?sentinel_password=`; or let the firewall admit only your machines.",
        )
    elif open_to_all and (reach := _reach(server)):
        yield problem(
            f"the server takes commands without a login, and {reach}: whoever can connect reads, changes, and deletes "
            "all sessions",
            "Close the port in the firewall at once, and set a password: on replicas first masterauth and on Sentinels "
            "auth-pass, then requirepass on each server (`CONFIG SET`, `CONFIG REWRITE`), and then in the URL of each "
            f"application, because new connections fail without it. {_OWN_USER}",
        )
    else:
        yield await _excess(server, case)


def _reach(server: Facts) -> str:
    """Return how strangers can reach the server; empty if they cannot."""
    if not is_local(server):
        return "is reached over the network"
    try:
        protected, bound = server.setting("protected-mode") != "no", server.setting("bind").split()
    except BlockedError:
        return ""
    if protected or (bound and all(_is_loopback(name) for name in bound)):
        return ""
    return f"listens on {' '.join(bound) or 'all addresses'} with protected-mode off"


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name.removeprefix("-")).is_loopback
    except ValueError:
        return name == "localhost"


async def _excess(server: Facts, case: Case) -> Verdict:
    key = needed.key_on(server, case)
    if is_local(server) or key is None:
        return ok("the server is not open to others without a login")
    refused = await needed.refused(server.server, key, needed.DANGEROUS)
    if refused is None:
        return ok("the server demands a login")
    allowed = [name for name in needed.DANGEROUS if name not in refused]
    user = case.inspection.settings.username or "default"
    if not allowed:
        return ok(f"the user {user} has no right to dangerous commands")
    if user != "default":
        return ok(
            f"the user {user} may run {', '.join(allowed)}. That is right for an administrator who runs the doctor, "
            "and too much for the application"
        )
    return warning(
        f"the client logs in as the default user, which may run {', '.join(allowed)}. A mistake or an intruder in the "
        "application can then destroy all data of the server",
        _OWN_USER,
    )
