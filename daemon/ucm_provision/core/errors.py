"""Every way in which the daemon can fail, and what must happen next.

One table pins code, disposition, HTTP status, exit status, the sentence that a person reads and the
place in docs/OPERATIONS.md. Nothing else in the product decides any of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class Disposition(Enum):
    """What must happen next."""

    RETRY = "retry"  # by itself, after a back-off
    WAIT_DEVICE = "wait_device"  # when the module appears again
    OPERATOR = "operator"  # a person must decide or mend something
    REJECT = "reject"  # never: this is not for us
    PAUSE_ALL = "pause_all"  # the site's fault, not the module's: do not burn the others
    FATAL = "fatal"  # the daemon cannot run like this


class Code(StrEnum):
    """Stable names of the failures, for logs, the journal, the API and scripts."""

    # the port and the device link
    PORT_BUSY = "port_busy"
    PORT_DENIED = "port_denied"
    PORT_UNUSABLE = "port_unusable"
    DEVICE_GONE = "device_gone"
    LINK_SILENT = "link_silent"
    LINK_GARBAGE = "link_garbage"
    LINK_BROKEN = "link_broken"
    LINK_LOST = "link_lost"
    LINK_INSECURE = "link_insecure"
    LINK_DRIVER_UNUSABLE = "link_driver_unusable"
    POP_MISSING = "pop_missing"
    POP_WRONG = "pop_wrong"
    IDENTITY_MISMATCH = "identity_mismatch"
    PRODUCT_UNSUPPORTED = "product_unsupported"
    KIND_MISMATCH = "kind_mismatch"
    MODULE_BUSY = "module_busy"
    MODULE_CONFLICT = "module_conflict"
    MODULE_REFUSED = "module_refused"
    MANAGED_ELSEWHERE = "managed_elsewhere"
    APPROVAL_NEEDED = "approval_needed"
    # the provisioning API
    API_NOT_CHOSEN = "api_not_chosen"
    API_ORIGIN_CHANGED = "api_origin_changed"
    API_UNREACHABLE = "api_unreachable"
    API_TLS = "api_tls"
    API_UNAUTHORIZED = "api_unauthorized"
    API_REJECTED = "api_rejected"
    API_CONFLICT = "api_conflict"
    API_NOT_FOUND = "api_not_found"
    API_RATE_LIMITED = "api_rate_limited"
    API_FAILED = "api_failed"
    API_ANSWER_INVALID = "api_answer_invalid"
    NOT_RECORDED = "not_recorded"
    SLUG_TAKEN = "slug_taken"
    # the broker and the time source, tried from this box
    BROKER_DNS_FAILED = "broker_dns_failed"
    BROKER_REFUSED = "broker_refused"
    BROKER_TIMEOUT = "broker_timeout"
    BROKER_TLS_UNTRUSTED = "broker_tls_untrusted"
    BROKER_TLS_EXPIRED = "broker_tls_expired"
    BROKER_TLS_REJECTED = "broker_tls_rejected"
    MQTT_NOT_AUTHORIZED = "mqtt_not_authorized"
    MQTT_UNAVAILABLE = "mqtt_unavailable"
    TIME_SOURCE_FAILED = "time_source_failed"
    # the module, on trial with its new configuration
    TRIAL_WIFI_AUTH_FAILED = "trial_wifi_auth_failed"
    TRIAL_WIFI_NOT_FOUND = "trial_wifi_not_found"
    TRIAL_DHCP_TIMEOUT = "trial_dhcp_timeout"
    TRIAL_DNS_FAILED = "trial_dns_failed"
    TRIAL_TIME_TIMEOUT = "trial_time_timeout"
    TRIAL_TCP_REFUSED = "trial_tcp_refused"
    TRIAL_TCP_TIMEOUT = "trial_tcp_timeout"
    TRIAL_TLS_UNTRUSTED = "trial_tls_untrusted"
    TRIAL_TLS_EXPIRED = "trial_tls_expired"
    TRIAL_TLS_REJECTED = "trial_tls_rejected"
    TRIAL_MQTT_NOT_AUTHORIZED = "trial_mqtt_not_authorized"
    TRIAL_MQTT_UNAVAILABLE = "trial_mqtt_unavailable"
    TRIAL_EXPIRED = "trial_expired"
    TRIAL_CONFIG_INVALID = "trial_config_invalid"
    TRIAL_ABORTED = "trial_aborted"
    TRIAL_LOST = "trial_lost"
    NOT_ONLINE = "not_online"
    NOT_ON_NETWORK = "not_on_network"
    NETWORK_DROPPED = "network_dropped"
    NOT_SEEN = "not_seen"
    CONFIGURATION_LOST = "configuration_lost"
    # the daemon itself and its command line
    CONFIG_INVALID = "config_invalid"
    MANIFEST_INVALID = "manifest_invalid"
    TOKEN_MISSING = "token_missing"  # noqa: S105 -- the name of a failure
    SECRETS_UNREADABLE = "secrets_unreadable"
    SECRETS_NOT_KEPT = "secrets_not_kept"
    JOURNAL_TOO_NEW = "journal_too_new"
    JOURNAL_UNUSABLE = "journal_unusable"
    DISK_FULL = "disk_full"
    ALREADY_RUNNING = "already_running"
    CONTROL_UNUSABLE = "control_unusable"
    DAEMON_UNREACHABLE = "daemon_unreachable"
    GATEWAY_UNKNOWN = "gateway_unknown"
    GATEWAY_REFUSED = "gateway_refused"
    MODULE_UNKNOWN = "module_unknown"
    MODULE_AMBIGUOUS = "module_ambiguous"
    MODULE_AT_WORK = "module_at_work"
    MODULE_NOT_IDENTIFIED = "module_not_identified"
    NOTHING_TO_CANCEL = "nothing_to_cancel"
    MODULE_NOT_OURS = "module_not_ours"
    WIPE_UNFINISHED = "wipe_unfinished"
    CAMPAIGN_UNKNOWN = "campaign_unknown"
    CAMPAIGN_OPEN = "campaign_open"
    CAMPAIGN_ENDED = "campaign_ended"
    CAMPAIGN_POINTLESS = "campaign_pointless"
    ORDER_UNKNOWN = "order_unknown"
    ORDER_ENDED = "order_ended"
    ORDER_OPEN = "order_open"
    MANIFEST_REFUSED = "manifest_refused"
    WIFI_INVALID = "wifi_invalid"
    WIFI_UNKNOWN = "wifi_unknown"
    WIFI_FULL = "wifi_full"
    SIGN_IN_NEEDED = "sign_in_needed"
    SIGN_IN_INVALID = "sign_in_invalid"
    ORIGIN_REFUSED = "origin_refused"
    PAGE_OFF = "page_off"
    REQUEST_INVALID = "request_invalid"
    INTERNAL = "internal"


class Exit:
    """Exit statuses of the command lines. 78 is EX_CONFIG of sysexits(3): systemd does not restart on it."""

    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    OPERATOR = 4
    UNAVAILABLE = 5
    CONFIG = 78


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the table.

    Attributes:
        sentence: What happened and what to do, for a person.
        tries: With RETRY, how often it is tried before an operator is asked; None: for ever.
    """

    disposition: Disposition
    http_status: int
    exit_status: int
    sentence: str
    tries: int | None = None


_RETRY, _WAIT, _OPERATOR = Disposition.RETRY, Disposition.WAIT_DEVICE, Disposition.OPERATOR
_PAUSE, _FATAL = Disposition.PAUSE_ALL, Disposition.FATAL

# A port that never answers is opened a few times only: each open may reset whatever hangs on it.
_UNANSWERED_OPENS = 5
# A wrong proof of possession is never guessed at: three tries, then a person looks at the label.
_POP_TRIES = 3
# A configuration that a module could not get online with is tried again only a few times by itself.
_TRIALS = 3
# A record may take a moment to show; one that never does is for a person.
_RECORDS = 3


def _retry(sentence: str, tries: int | None = None) -> Failure:
    return Failure(_RETRY, 503, Exit.UNAVAILABLE, sentence, tries)


def _operator(sentence: str, http_status: int = 409) -> Failure:
    return Failure(_OPERATOR, http_status, Exit.OPERATOR, sentence)


FAILURES: dict[Code, Failure] = {
    Code.PORT_BUSY: _retry(
        "Another program holds the port. Nothing was sent. Close it (ModemManager and brltty are the usual ones); "
        "the daemon tries again by itself."
    ),
    Code.PORT_DENIED: _retry(
        "The daemon may not open the port. Give its user read and write access to the port's group; "
        "it tries again by itself."
    ),
    Code.PORT_UNUSABLE: _retry(
        "The port cannot be opened as a serial line. Check the cable and the port's name.", _UNANSWERED_OPENS
    ),
    Code.DEVICE_GONE: Failure(
        _WAIT,
        503,
        Exit.UNAVAILABLE,
        "The module is no longer there. Nothing is lost: plug it in again, on any port, or let it return to the LAN; "
        "the work goes on then.",
    ),
    Code.LINK_SILENT: _retry(
        "Nothing answered at the module's port or address. Check that it is a UCM, that it is powered and that its "
        "firmware speaks the device link.",
        _UNANSWERED_OPENS,
    ),
    Code.LINK_GARBAGE: _retry(
        "Something answered, but not as the device link does. Check that it is a UCM, and on a cable the baud rate.",
        _UNANSWERED_OPENS,
    ),
    Code.LINK_BROKEN: _retry("The conversation with the module broke off. The daemon starts a fresh one by itself."),
    Code.LINK_LOST: _retry(
        "The module ended the conversation over the LAN: it serves one client at a time, and another tool may keep "
        "talking to it. The daemon tries again by itself; close the other tool, or use a USB cable."
    ),
    Code.LINK_INSECURE: _operator(
        "The module offers only an older, insecure link. Nothing secret was sent. Update its firmware: "
        "security version 2 with patch 1 or newer is needed."
    ),
    Code.LINK_DRIVER_UNUSABLE: _operator(
        "The port is marked for a link driver that this box does not have, or that cannot be loaded. Nothing was sent. "
        "Install the package that brings it, or correct the udev rule that names it."
    ),
    Code.POP_MISSING: _operator(
        "The module's proof of possession is not known. It stands on the module's label: give it with ucmctl approve, "
        "add it to the manifest, or set link.site_pop_file."
    ),
    Code.POP_WRONG: _retry(
        "The module refused the proof of possession. Nothing was changed on it. Compare the manifest with the "
        "module's label.",
        _POP_TRIES,
    ),
    Code.IDENTITY_MISMATCH: _operator(
        "The module is not the one it announced to be. Nothing secret was sent. Check what is plugged in."
    ),
    Code.PRODUCT_UNSUPPORTED: _operator(
        "This kind of module cannot be provisioned by this version of the daemon. It was not touched."
    ),
    Code.KIND_MISMATCH: _operator(
        "The module is not what the manifest says it is. It was not touched. Correct its line of the manifest, or "
        "check what is plugged in."
    ),
    Code.MODULE_BUSY: _retry("Another box has reserved the module. This one waits until the reservation ends."),
    Code.MODULE_CONFLICT: _retry(
        "Somebody else configured the module meanwhile. It was not touched; the daemon looks at it afresh."
    ),
    Code.MODULE_REFUSED: _operator(
        "The module refused the new configuration and keeps its old one. The detail says why."
    ),
    Code.MANAGED_ELSEWHERE: _operator(
        "The module was configured by another box for a device that this site does not know. It was not touched."
    ),
    Code.APPROVAL_NEEDED: _operator(
        "The module waits for your approval, as the site's policy says. Nothing was sent to it. Approve it with ucmctl "
        "approve, or list it in the manifest with its proof of possession."
    ),
    Code.API_NOT_CHOSEN: _retry(
        "No provisioning API has been chosen yet. The module was not touched. ucmctl api show lists the Gateways that "
        "were seen on the LAN, ucmctl api accept chooses one; the modules then go on by themselves."
    ),
    Code.API_ORIGIN_CHANGED: _operator(
        "The module's device belongs to another provisioning API than the present one. The module was not touched. Set "
        "api.url back, or provision the module here with ucmctl reprovision."
    ),
    Code.API_UNREACHABLE: _retry(
        "The provisioning API cannot be reached. The module was not touched. Check api.url and the network; "
        "the daemon goes on by itself when it returns."
    ),
    Code.API_TLS: _retry(
        "The provisioning API's certificate is not trusted. No token was sent. Set api.ca_file to its CA, "
        "and check this box's clock."
    ),
    Code.API_UNAUTHORIZED: Failure(
        _PAUSE,
        502,
        Exit.OPERATOR,
        "The provisioning API refused the site's token. No module was touched, and all wait. Put a valid token "
        "into api.token_file; the daemon goes on by itself.",
    ),
    Code.API_REJECTED: _operator(
        "The provisioning API refused the request. The module was not touched. The detail is the API's own words.",
        502,
    ),
    Code.API_CONFLICT: _operator(
        "The provisioning API knows this hardware id elsewhere: on another site, or as another kind of device. "
        "The module was not touched. Remove the device there first.",
        502,
    ),
    Code.API_NOT_FOUND: _operator(
        "The provisioning API has no such call or no such site. Check api.url and site.id.", 502
    ),
    Code.API_RATE_LIMITED: _retry("The provisioning API asks for patience. The daemon waits as long as it was told."),
    Code.API_FAILED: _retry(
        "The provisioning API failed on its side. The module was not touched; the daemon asks again by itself."
    ),
    Code.API_ANSWER_INVALID: _operator(
        "The provisioning API answered something that is no provisioning answer. The module was not touched. "
        "Check api.url, and the API's version.",
        502,
    ),
    Code.NOT_RECORDED: _retry(
        "The provisioning API added the device, but its own record does not show it with this hardware id on this "
        "site. The daemon asks again by itself.",
        _RECORDS,
    ),
    Code.SLUG_TAKEN: _operator(
        "The provisioning API already has a device with this slug. Nothing was added. Choose another slug, or none: "
        "then a free one is made from the name. A Lua device cannot be provisioned a second time."
    ),
    Code.BROKER_DNS_FAILED: _retry(
        "The broker's host name does not resolve from this box. The module was not touched. Check the name server, "
        "or set override.mqtt_host."
    ),
    Code.BROKER_REFUSED: _retry(
        "The broker's port refuses connections from this box. The module was not touched. Check that the broker runs."
    ),
    Code.BROKER_TIMEOUT: _retry(
        "The broker does not answer from this box. The module was not touched. Check routes and firewalls."
    ),
    Code.BROKER_TLS_UNTRUSTED: _operator(
        "The broker's certificate does not match the CA chain that the API gave. The module was not touched. "
        "Check that mqtt_host and mqtt_port are the broker of this API.",
        502,
    ),
    Code.BROKER_TLS_EXPIRED: _operator(
        "The broker's certificate is outside its validity. The module was not touched. Check the broker's "
        "certificate, and this box's clock.",
        502,
    ),
    Code.BROKER_TLS_REJECTED: _operator(
        "The broker refused the new certificate. The module was not touched. Check that the broker trusts the "
        "API's CA, and its revocation list.",
        502,
    ),
    Code.MQTT_NOT_AUTHORIZED: _operator(
        "The broker refused the new credentials. The module was not touched. Check that the broker knows the "
        "API's users, or trusts its CA.",
        502,
    ),
    Code.MQTT_UNAVAILABLE: _retry(
        "The broker says that it is unavailable. The module was not touched; the daemon tries again by itself."
    ),
    Code.TIME_SOURCE_FAILED: _retry(
        "The time source does not answer from this box. The module was not touched. Check it, or set "
        "override.time_sync."
    ),
    Code.TRIAL_WIFI_AUTH_FAILED: _operator(
        "The module could not join the Wi-Fi: the passphrase was refused. It returned to its old configuration. "
        "Correct the passphrase where it was given: with ucmctl wifi add, or in the configuration. Then ucmctl retry."
    ),
    Code.TRIAL_WIFI_NOT_FOUND: _retry(
        "The module does not hear the Wi-Fi network. It returned to its old configuration. Check the name, the "
        "band (2.4 GHz) and the distance.",
        _TRIALS,
    ),
    Code.TRIAL_DHCP_TIMEOUT: _retry(
        "The module joined the Wi-Fi but got no address. It returned to its old configuration. Check the DHCP server.",
        _TRIALS,
    ),
    Code.TRIAL_DNS_FAILED: _retry(
        "The module cannot resolve a host name. It returned to its old configuration. Check the name server of its "
        "network, or set override.mqtt_host to an address."
    ),
    Code.TRIAL_TIME_TIMEOUT: _retry(
        "The module got no time from the time source. It returned to its old configuration. Check that the source "
        "can be reached from its network, or set override.time_sync.",
        _TRIALS,
    ),
    Code.TRIAL_TCP_REFUSED: _retry(
        "The broker's port refused the module's connection. It returned to its old configuration. Check the broker."
    ),
    Code.TRIAL_TCP_TIMEOUT: _retry(
        "The broker did not answer the module. It returned to its old configuration. Check routes and firewalls "
        "between the module's network and the broker."
    ),
    Code.TRIAL_TLS_UNTRUSTED: _operator(
        "The module does not trust the broker's certificate. It returned to its old configuration. Check that the "
        "broker it reaches is this API's."
    ),
    Code.TRIAL_TLS_EXPIRED: _operator(
        "To the module, the broker's certificate is outside its validity. It returned to its old configuration. "
        "Check the certificate and the time source."
    ),
    Code.TRIAL_TLS_REJECTED: _operator(
        "The broker refused the module's certificate. It returned to its old configuration. Check that the broker "
        "trusts the API's CA, and its revocation list."
    ),
    Code.TRIAL_MQTT_NOT_AUTHORIZED: _operator(
        "The broker refused the module's credentials or its command topic. It returned to its old configuration. "
        "Check the broker's users and topic rights."
    ),
    Code.TRIAL_MQTT_UNAVAILABLE: _retry(
        "The broker told the module that it is unavailable. It returned to its old configuration; the daemon tries "
        "again by itself."
    ),
    Code.TRIAL_EXPIRED: _retry(
        "The module did not get online within its trial and returned to its old configuration.", _TRIALS
    ),
    Code.TRIAL_CONFIG_INVALID: _operator(
        "The module could not use the configuration and returned to its old one. Check its firmware version."
    ),
    Code.TRIAL_ABORTED: _operator("The trial was called off, and the module returned to its old configuration."),
    Code.TRIAL_LOST: _retry(
        "The module no longer holds the configuration that was on trial, and does not say why.", _TRIALS
    ),
    Code.NOT_ONLINE: _retry(
        "The module has its configuration but does not report that it is online. The detail is its own reason.",
        _TRIALS,
    ),
    Code.NOT_ON_NETWORK: _operator(
        "The module is online with its new configuration, but on another network than the campaign wants. Check that "
        "the wanted network reaches it, then retry it."
    ),
    Code.NETWORK_DROPPED: _operator(
        "The campaign wants a network that is no longer among the site's. The module was not touched. Add the network "
        "again with ucmctl wifi add, or abort the campaign."
    ),
    Code.NOT_SEEN: _operator(
        "The module reports that it is online, but neither the broker's witness nor the API has seen it. Nothing was "
        "rolled back. Check broker.witness, and that the module and this box use the same broker."
    ),
    Code.CONFIGURATION_LOST: _operator(
        "The module no longer holds the configuration that this box gave it: it was reset, or another tool configured "
        "it. Find out which, then provision it anew with ucmctl reprovision."
    ),
    Code.CONFIG_INVALID: Failure(_FATAL, 500, Exit.CONFIG, "The configuration is wrong. The daemon did not start."),
    Code.MANIFEST_INVALID: Failure(_FATAL, 500, Exit.CONFIG, "The manifest is wrong. The daemon did not start."),
    Code.TOKEN_MISSING: Failure(
        _FATAL,
        500,
        Exit.CONFIG,
        "There is no token for the provisioning API. Put it into the file that api.token_file names, or into "
        "/etc/ucm-provision/credentials/api-token for the service, readable by root only, and start the daemon again.",
    ),
    Code.SECRETS_UNREADABLE: Failure(
        _FATAL,
        500,
        Exit.CONFIG,
        "The sealed secrets in the state folder cannot be opened. The daemon did not start, and they were not touched. "
        "Bring back the key that sealed them, or key and secrets together from a backup.",
    ),
    Code.SECRETS_NOT_KEPT: _retry(
        "The sealed secrets in the state folder cannot be written. Nothing was changed. Check the disk and the rights "
        "on state.dir."
    ),
    Code.JOURNAL_TOO_NEW: Failure(
        _FATAL,
        500,
        Exit.CONFIG,
        "The journal was written by a newer version of the daemon. Install that version again; nothing was changed.",
    ),
    Code.JOURNAL_UNUSABLE: Failure(
        _FATAL,
        500,
        Exit.CONFIG,
        "The journal cannot be read or written. Check the disk and the rights on state.dir.",
    ),
    Code.DISK_FULL: Failure(
        _FATAL,
        507,
        Exit.UNAVAILABLE,
        "The disk with the state folder is full, so nothing is done that could not be written down. Make room; "
        "the daemon goes on by itself.",
    ),
    Code.ALREADY_RUNNING: Failure(
        _FATAL,
        500,
        Exit.FAILED,
        "Another daemon already runs with this state folder or control socket. Stop it first.",
    ),
    Code.CONTROL_UNUSABLE: Failure(
        _FATAL,
        500,
        Exit.CONFIG,
        "The control socket, or the page's, cannot be opened. Check control.socket and the rights on its folder, and "
        "web.listen.",
    ),
    Code.DAEMON_UNREACHABLE: Failure(
        _RETRY,
        503,
        Exit.UNAVAILABLE,
        "The daemon does not answer on its control socket. Check that ucm-provisiond runs and that you may open the "
        "socket.",
    ),
    Code.GATEWAY_UNKNOWN: Failure(
        Disposition.REJECT,
        404,
        Exit.NOT_FOUND,
        "No such Gateway is seen on the LAN. ucmctl api show lists those that are.",
    ),
    Code.GATEWAY_REFUSED: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "The Gateway was not accepted, and nothing was changed. The detail says why.",
    ),
    Code.MODULE_UNKNOWN: Failure(
        Disposition.REJECT, 404, Exit.NOT_FOUND, "No module of that name, slug or hardware id is known here."
    ),
    Code.MODULE_AMBIGUOUS: Failure(
        Disposition.REJECT,
        409,
        Exit.NOT_FOUND,
        "More than one module answers to that. Give more of its hardware id.",
    ),
    Code.MODULE_AT_WORK: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "The module is being worked on right now. Ask again when it waits or is verified.",
    ),
    Code.MODULE_NOT_IDENTIFIED: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "Nobody knows yet whose endpoint this is, so there is nothing to provision anew. Retry it instead.",
    ),
    Code.NOTHING_TO_CANCEL: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "Nothing is to be done with this module that could be cancelled.",
    ),
    Code.MODULE_NOT_OURS: _operator(
        "Another box has configured the module, so it was not wiped, and nothing was forgotten. Ask whoever runs that "
        "box; ucmctl forget --wipe --force wipes it all the same."
    ),
    Code.WIPE_UNFINISHED: _operator(
        "The module was to be wiped, and nobody knows whether that was done. Nothing else is done to it meanwhile. "
        "Repeat ucmctl forget --wipe, or keep it with ucmctl reprovision."
    ),
    Code.CAMPAIGN_UNKNOWN: Failure(
        Disposition.REJECT,
        404,
        Exit.NOT_FOUND,
        "No campaign of that number is known here. ucmctl wifi campaigns lists them.",
    ),
    Code.CAMPAIGN_OPEN: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "Another campaign is not done yet. Wait for it, or end it with ucmctl wifi abort.",
    ),
    Code.CAMPAIGN_ENDED: Failure(Disposition.REJECT, 409, Exit.FAILED, "The campaign has ended already."),
    Code.CAMPAIGN_POINTLESS: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "There is nothing to change. Nothing was begun; ucmctl wifi change --dry-run says why of each module.",
    ),
    Code.ORDER_UNKNOWN: Failure(Disposition.REJECT, 404, Exit.NOT_FOUND, "No order of that number is known here."),
    Code.ORDER_ENDED: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "The order has ended already. What it added stays in the provisioning API.",
    ),
    Code.ORDER_OPEN: Failure(
        _RETRY,
        503,
        Exit.UNAVAILABLE,
        "The order is not done yet. It is journalled and goes on by itself, whatever happens to this command; "
        "ucmctl orders tells how far it is.",
    ),
    Code.MANIFEST_REFUSED: Failure(
        Disposition.REJECT, 400, Exit.FAILED, "The manifest has mistakes. Nothing was changed; every line stands above."
    ),
    Code.WIFI_INVALID: Failure(
        Disposition.REJECT,
        400,
        Exit.USAGE,
        "That is no Wi-Fi network that modules could join. Nothing was changed. The detail says what was expected.",
    ),
    Code.WIFI_UNKNOWN: Failure(
        Disposition.REJECT,
        404,
        Exit.NOT_FOUND,
        "No Wi-Fi network of that name is on the site's list. Upper and lower case count.",
    ),
    Code.WIFI_FULL: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "The site's list has three Wi-Fi networks, as many as a module takes. Drop one first: ucmctl wifi drop.",
    ),
    Code.SIGN_IN_NEEDED: Failure(
        Disposition.REJECT,
        401,
        Exit.OPERATOR,
        "That needs a sign-in. Run ucmctl page-login on the box, and open the address that it prints.",
    ),
    Code.SIGN_IN_INVALID: Failure(
        Disposition.REJECT,
        403,
        Exit.OPERATOR,
        "This sign-in was used already, or its time is over. ucmctl page-login makes a new one.",
    ),
    Code.ORIGIN_REFUSED: Failure(
        Disposition.REJECT,
        403,
        Exit.FAILED,
        "This does not come from a page of this box. Nothing was done. Open the page under an address that ucmctl "
        "page-login prints, or add the name that you use to web.names.",
    ),
    Code.PAGE_OFF: Failure(
        Disposition.REJECT,
        409,
        Exit.FAILED,
        "The daemon does not serve its page. Set web.listen, or enable ucm-provisiond-web.socket.",
    ),
    Code.REQUEST_INVALID: Failure(Disposition.REJECT, 400, Exit.USAGE, "The request is not one that the daemon knows."),
    Code.INTERNAL: _operator(
        "Something went wrong inside the daemon. It holds this module and goes on with the others; the log has the "
        "details. Please report it.",
        500,
    ),
}


def anchor(code: Code) -> str:
    """Where docs/OPERATIONS.md speaks of the failure."""
    return f"docs/OPERATIONS.md#{code.value.replace('_', '-')}"


class UcmError(Exception):
    """A failure with a code.

    Args:
        code: Which failure; :data:`FAILURES` says what follows from it.
        detail: What is particular to this time, one line, without secrets, in the words of whoever refused.
        retry_after: With RETRY or PAUSE_ALL, the seconds that the other side asked us to wait.
    """

    def __init__(self, code: Code, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    @property
    def failure(self) -> Failure:
        return FAILURES[self.code]

    def __str__(self) -> str:
        return explain(self.code, self.detail)


def explain(code: Code, detail: str = "") -> str:
    """The failure as a person reads it: name, sentence, detail and where to read on."""
    particular = f" ({detail})" if detail else ""
    return f"{code.name}: {FAILURES[code].sentence}{particular} {anchor(code)}"
