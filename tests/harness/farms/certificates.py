"""Certificates for TLS on the loopback: a certificate authority for the tests, and a server certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """An authority and one certificate for `localhost`, `127.0.0.1` and `::1`.

    Attributes:
        context: for a server that terminates TLS in Python.
        authority: PEM file with the authority's certificate, for clients.
        chain: PEM file with the server's certificate, for servers with TLS of their own.
        key: PEM file with its private key.

    """

    context: ssl.SSLContext
    authority: Path
    chain: Path
    key: Path

    @property
    def query(self) -> str:
        """The URL query that makes clients check certificates against this authority."""
        return f"ssl_ca_certs={self.authority}"

    @classmethod
    def make(cls, folder: Path, not_after: datetime | None = None) -> Certificates:
        """Create them, with their files in that folder. The server's certificate expires at `not_after`."""
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1", "::1", not_after=not_after)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        certificates = cls(context, folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
        authority.cert_pem.write_to_path(str(certificates.authority))
        certificate.private_key_pem.write_to_path(str(certificates.key))
        for index, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(str(certificates.chain), append=index > 0)
        return certificates
