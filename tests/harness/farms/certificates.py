"""Certificates for the tests' TLS: an authority of their own, and what it vouches for on the loopback."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
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
        """What a URL says to have certificates checked against this authority."""
        return f"ssl_ca_certs={self.authority}"

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        """Make them, with their files in that folder."""
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1", "::1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        made = cls(context, folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
        authority.cert_pem.write_to_path(str(made.authority))
        certificate.private_key_pem.write_to_path(str(made.key))
        for index, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(str(made.chain), append=index > 0)
        return made
