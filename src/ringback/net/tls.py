"""TLS contexts for SIP: our certificate as a server, verification as a client."""

from __future__ import annotations

import ssl
from pathlib import Path

from ringback.core.errors import StartupError


class TlsContexts:
    """``certificate`` and ``key`` are PEM files of the listener (``None``: there is none);
    ``ca_file`` are further authorities to trust, beside those of the system.

    Raises :class:`StartupError` for files that cannot be used.
    """

    def __init__(
        self,
        certificate: Path | None = None,
        key: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._certificate, self._key, self._ca_file = certificate, key, ca_file
        self._clients: dict[bool, ssl.SSLContext] = {}
        self.server: ssl.SSLContext | None = None
        """What the TLS listener presents, or ``None`` without a certificate."""
        if certificate is not None:
            self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.server.minimum_version = ssl.TLSVersion.TLSv1_2
            self.reload()
        if ca_file is not None:
            self.client(verify=True)

    def reload(self) -> None:
        """Read certificate and key again; connections that stand are not touched."""
        if self.server is None or self._certificate is None:
            return
        try:
            self.server.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise StartupError(
                f"The TLS certificate {self._certificate} cannot be used: {error}.",
                hint="RINGBACK_SIP_TLS_CERT and RINGBACK_SIP_TLS_KEY must be readable PEM files "
                "that belong together.",
            ) from error

    def client(self, *, verify: bool) -> ssl.SSLContext:
        context = self._clients.get(verify)
        if context is None:
            context = self._clients[verify] = self._make_client(verify)
        return context

    def _make_client(self, verify: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:
                raise StartupError(
                    f"The TLS authorities in {self._ca_file} cannot be used: {error}.",
                    hint="The file must hold PEM certificates.",
                ) from error
        return context


def _no_password() -> str:
    """Keeps OpenSSL from asking at the terminal for an encrypted key."""
    return ""
