"""Asks a time source for the time, as a module will: HTTP's Date header or NTP."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

from ucm_provision.broker.timing import Timing
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.model import TimeProtocol, TimeSource

# RFC 5905, section 7.3: the first byte is leap indicator, version and mode; mode 3 asks, mode 4 answers.
_NTP_ASK: Final = 0b00_100_011
_NTP_ANSWER_MODE: Final = 4
_NTP_LENGTH: Final = 48
_NTP_CLOCK_UNSET: Final = 3
# Stratum 0 is a kiss of death, 16 an unsynchronised server.
_NTP_STRATA: Final = range(1, 16)


async def ask_time(source: TimeSource, timing: Timing) -> None:
    """Makes sure that the time source answers with a time.

    Raises:
        UcmError: ``time_source_failed``.
    """
    try:
        async with asyncio.timeout(timing.time_source):
            if source.protocol is TimeProtocol.HTTP:
                failure = await _ask_http(source)
            else:
                failure = await _ask_ntp(source, timing.ntp_resend)
    except TimeoutError:
        failure = f"no answer in {timing.time_source:g} s"
    except (OSError, UnicodeError) as error:
        failure = _reason(error)
    if failure:
        raise UcmError(Code.TIME_SOURCE_FAILED, f"{source.protocol} {source.host} port {source.port}: {failure}")


async def _ask_http(source: TimeSource) -> str:
    """Returns what is wrong, or nothing. Whatever the status: an error page and a redirect tell the time as well."""
    url = URL.build(scheme="http", host=source.host, port=source.port, path="/")
    connector = aiohttp.TCPConnector(force_close=True)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.head(url, allow_redirects=False) as response,
        ):
            parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return "no Date header that is a time"
    except aiohttp.ClientConnectorError as error:
        return _reason(error.os_error)
    except aiohttp.ClientError:
        return "no HTTP answer"
    return ""


async def _ask_ntp(source: TimeSource, resend: float) -> str:
    # The server copies these bytes into its answer: nobody who did not see the question can answer it.
    question = bytes([_NTP_ASK]) + bytes(39) + secrets.token_bytes(8)
    transport, answers = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _NtpAnswers(question), remote_addr=(source.host, source.port)
    )
    try:
        while True:
            transport.sendto(question)
            # Not wait_for: on Python 3.11 it loses a cancellation that arrives together with the answer.
            await asyncio.wait({answers.outcome}, timeout=resend)
            if answers.outcome.done():
                return answers.outcome.result()
    finally:
        transport.close()


class _NtpAnswers(asyncio.DatagramProtocol):
    """Waits for the answer to ``question``, and passes over everything else."""

    def __init__(self, question: bytes) -> None:
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._question = question

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 -- asyncio's signature
        if len(data) >= _NTP_LENGTH and data[24:32] == self._question[40:48] and data[0] & 0b111 == _NTP_ANSWER_MODE:
            self._settle("" if _tells_time(data) else "the server does not know the time itself")

    def error_received(self, exc: Exception) -> None:
        self._settle(_reason(exc))

    def _settle(self, failure: str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(failure)


def _reason(error: Exception) -> str:
    """The system's own words: asyncio's name addresses that the caller names anyway."""
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return "the host name does not resolve"
    return os.strerror(error.errno) if error.errno else "no connection"


def _tells_time(answer: bytes) -> bool:
    return answer[0] >> 6 != _NTP_CLOCK_UNSET and answer[1] in _NTP_STRATA and any(answer[40:48])
