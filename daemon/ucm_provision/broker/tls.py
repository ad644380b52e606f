"""TLS as the platform's devices do it: their own certificate, ``ca_chain`` as the only trust, no host name check."""

from __future__ import annotations

import base64
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import TlsCredentials

# Of OpenSSL's x509_vfy.h: not yet valid, expired.
_OUTSIDE_VALIDITY: Final = {9, 10}


class BrokerContext(ssl.SSLContext):
    """A client context that shakes hands while it wraps a socket, in the name of the host that was configured.

    paho-mqtt wraps first and shakes hands later, and forgets the socket when that fails; and it is
    given an address that is known to answer, from which no server name can be told.
    """

    server_name: str

    def wrap_socket(self, sock: socket.socket, *_: Any, **__: Any) -> ssl.SSLSocket:
        try:
            return super().wrap_socket(sock, server_hostname=self.server_name)
        except BaseException:
            sock.close()
            raise


def client_context(credentials: TlsCredentials, host: str) -> BrokerContext:
    """The context to reach the broker on ``host`` with.

    Raises:
        UcmError: ``broker_tls_rejected`` or ``broker_tls_untrusted``: this box's TLS library refuses the
            certificate or the chain before anything is sent, a key that is too short for instance.
    """
    context = BrokerContext(ssl.PROTOCOL_TLS_CLIENT)
    # An IPv6 zone (fe80::1%eth0) means something on this box only.
    context.server_name = host.partition("%")[0]
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Every certificate of the chain is an anchor, as it is to the module: the chain may end below the root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_anchors(context, credentials)
    _load_identity(context, credentials)
    return context


def _load_anchors(context: ssl.SSLContext, credentials: TlsCredentials) -> None:
    try:
        context.load_verify_locations(cadata=b"".join(credentials.ca_chain))
    except (ssl.SSLError, ValueError) as error:
        raise UcmError(Code.BROKER_TLS_UNTRUSTED, f"ca_chain cannot be used here: {_reason(error)}") from None


def _load_identity(context: ssl.SSLContext, credentials: TlsCredentials) -> None:
    pem = _pem("CERTIFICATE", credentials.certificate) + _pem("PRIVATE KEY", credentials.private_key.reveal())
    try:
        with _memory_file(pem) as path:
            context.load_cert_chain(path)
    except ssl.SSLError as error:
        detail = f"the certificate cannot be used here: {_reason(error)}"
        raise UcmError(Code.BROKER_TLS_REJECTED, detail) from None


@contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    """A path to ``content`` that is on no disk: the TLS library takes private keys from files only."""
    descriptor = os.memfd_create("ucm-identity")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


def handshake_failure(error: Exception) -> UcmError:
    """What a failure during the TLS handshake, or of the first read after it, means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        expired = error.verify_code in _OUTSIDE_VALIDITY
        return UcmError(Code.BROKER_TLS_EXPIRED if expired else Code.BROKER_TLS_UNTRUSTED, error.verify_message)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        # A broker that just restarts does so too: to be tried again, not to be held against the certificate.
        return UcmError(Code.BROKER_REFUSED, "the connection was closed during the TLS handshake")
    if "ALERT" in (getattr(error, "reason", None) or ""):
        return UcmError(Code.BROKER_TLS_REJECTED, _reason(error))
    return UcmError(Code.BROKER_TLS_UNTRUSTED, f"no TLS there: {_reason(error)}")


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if isinstance(reason, str) else error.__class__.__name__
