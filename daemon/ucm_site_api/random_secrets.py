"""Random secrets, and the digests that are kept of them.

Tokens and broker passwords are 32 random bytes. Nobody can search 2**256 of them, so one SHA-256 is as good
as a slow hash, and a broker that a hundred modules reconnect to after a power cut answers all of them at once.
A slow hash protects words that people choose, and there are none here.
"""

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """64 lower-case hexadecimal characters, the form of the platform's own tokens."""
    return secrets.token_hex(32)


def digest_of(secret: str) -> bytes:
    """What the registry keeps of a secret; also of a text with bytes that were no UTF-8, which matches nothing."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def matches(secret: str, digest: bytes) -> bool:
    """Whether a secret is the one that was kept, without telling by the time it takes how much of it is right."""
    return hmac.compare_digest(digest_of(secret), digest)
