"""Every deadline, bound and back-off of the daemon, each with the place it comes from.

Durations are seconds, sizes bytes.
"""

from __future__ import annotations

# ---- device link, serial (hardware/link/SPEC.md) -------------------------------------------------

# The link's own retransmission: a lost frame costs a quarter of a second, a busy chip at most one.
RETRANSMIT_FIRST = 0.25
RETRANSMIT_LAST = 1.0
# An ESP32 takes 1 to 2 s for its share of SRP; ten leave room for a boot in between.
HANDSHAKE_DEADLINE = 10.0
COMMIT_DEADLINE = 10.0
CALL_DEADLINE = 5.0
# Opening a port may reset the module; its first answer then comes only after its boot.
FIRST_ANSWER_DEADLINE = 12.0
FIRST_ANSWER_RESEND = 1.0
# udev applies rights up to 2 s after the port appears, and ModemManager lets go of it about then.
OPEN_RETRY = 2.0
OPEN_RETRY_EVERY = 0.2
CONSOLE_TAIL = 4096
MAX_FRAME_DEFAULT = 2304
MAX_FRAME_SMALLEST = 2048
MAX_FRAME_LARGEST = 4096
CHUNK_LARGEST = 2048
FRAME_OVERHEAD = 96

# ---- device link, HTTP (hardware/link/SPEC.md) ---------------------------------------------------

# Any client's request ends another's session. Two without a back-off never finish; with it, both soon do.
LAN_LOST_FIRST = 0.5
LAN_LOST_LAST = 8.0
# A module that changes networks after Commit is met again sooner by waiting for the witness than by knocking.
LAN_REJOIN_PATIENCE = 6.0
# protocomm's server cuts the connection at a longer body.
HTTP_BODY_LARGEST = 4096
# Ours are some 200 bytes; a module's answers have a hundred of header, and no message beyond a request's size.
HTTP_ANSWER_LARGEST = 2 * HTTP_BODY_LARGEST
HTTP_HEAD_LARGEST = 2048
# For all routes of a module together. A lost SYN is repeated after 1 s and after 3.
HTTP_CONNECT_DEADLINE = 4.0
HTTP_ROUTES_TRIED = 4
# On weak Wi-Fi an answer was seen to take 28 to 30 s (esphome#15022); each step of the handshake gets that.
HTTP_HANDSHAKE_DEADLINE = 30.0
HTTP_CALL_DEADLINE = 10.0
# SRP keeps a core busy for some 9 ms; more at once than cores only makes each of them later.
SRP_AT_ONCE = 4

# ---- the transaction -----------------------------------------------------------------------------

RESERVE_SECONDS = 120
# Beyond the trial the reservation must still hold while the module rolls back and is read again.
RESERVE_BEYOND_TRIAL = 60
# All channels take an ESP32 some three seconds; other work of its radio makes that longer.
SCAN_POLL = 1.0
SCAN_POLLS = 15
NETWORKS_HEARD_MOST = 16
CONFIGURATION_LARGEST = 16 * 1024
WIFI_NETWORKS_LARGEST = 3
TRIAL_SHORTEST = 30
TRIAL_LONGEST = 900
TRIAL_DEFAULT = 120
# Back on its old configuration a module is online again within this, or it needs fresh credentials: an API may
# have revoked the old ones at once.
RECOVERY_PATIENCE = 60.0
# How often the module is asked how far it got. A poll costs it one AES block or two.
STATE_POLL = 0.5
# After a trial's end the module needs a moment to roll back and say so.
TRIAL_GRACE = 15.0
# From the module's own "online" to somebody else seeing it.
SEEN_DEADLINE = 120.0
API_POLL = 2.0
# In dBm. What still works below this today does not once the cabinet's door is closed.
SIGNAL_WEAK = -75

# ---- HTTP API ------------------------------------------------------------------------------------

API_CONNECT_DEADLINE = 10.0
API_CALL_DEADLINE = 30.0
API_BODY_LARGEST = 256 * 1024

# ---- broker and time source ----------------------------------------------------------------------

BROKER_CONNECT_DEADLINE = 10.0
# Under TLS 1.3 a refused client certificate shows at the first read, a round trip after the handshake.
BROKER_ALERT_WAIT = 0.5
BROKER_SUBACK_DEADLINE = 10.0
TIME_SOURCE_DEADLINE = 5.0
WITNESS_RECONNECT_FIRST = 1.0
WITNESS_RECONNECT_LAST = 30.0
WITNESS_SUBSCRIBE_DEADLINE = 5.0
WITNESS_QUEUE = 256
# Some hundred modules' worth; a fleet that was away for longer learns how many it missed.
FLEET_QUEUE = 1024
# As many as paho has under way at once by itself, less a few.
FLEET_BATCH = 16
# A status is what a fleet looks at; what is urgent is an event.
FLEET_STATUS_PAUSE = 5.0
FLEET_PUBACK_DEADLINE = 10.0
# The last word of a daemon that stops.
FLEET_FAREWELL = 1.0

# ---- discovery and supervision -------------------------------------------------------------------

RESCAN_EVERY = 1.0
# udev's events make this superfluous, but they do not enter a container's own network namespace.
UDEV_RESCAN_EVERY = 2.0
# Some thousand events: a hub with all its modules is plugged in at once.
UDEV_BUFFER = 1024 * 1024
# For each kind of carrier.
SIGHTINGS_KEPT = 4096
# Each kind of carrier has slots of its own, so that no number of modules on the LAN keeps a cable waiting.
CABLE_SESSIONS_AT_ONCE = 16
LAN_SESSIONS_AT_ONCE = 64
# Modules on the LAN that wait for approval are held in memory only, the latest of them.
CANDIDATES_KEPT = 256
API_CALLS_AT_ONCE = 8
SITE_ID_REMEMBERED = 60.0
FEED_QUEUE = 1024
# Often enough that who has gone is noticed at either end, seldom enough to cost nothing.
FEED_HEARTBEAT = 10.0
# Some kilobytes each. A page that was away for longer takes a snapshot, which is no more than that.
EVENTS_KEPT = 1024
# How soon a page is told of what nobody announces: the site's status, a campaign's progress.
BESIDE_EVERY = 0.5
CONTROL_BODY_LARGEST = 4096
POP_LONGEST = 128
ENGINEER_LONGEST = 128
# The year 9999, in seconds since the epoch: what comes later is no date.
TIME_LATEST = 253_402_300_799.0
# Of modules that operators read the label of; several times what one box looks after.
TYPED_PROOFS_KEPT = 4096
# Some thousand lines; a site has some hundred modules.
MANIFEST_LARGEST = 1024 * 1024
MANIFEST_PROBLEMS_TOLD = 20
ORDERS_AT_ONCE = 4
# How long who places an order waits for its outcome. The command line's own patience is 30 s.
ORDER_ANSWER_WAIT = 20.0
# What ended is kept so that an operator can look it up; more of it than this helps nobody.
ORDERS_KEPT = 1000
# How often verified modules are thought of; also between two looks at one that announces itself as new.
UPKEEP_EVERY = 60.0
# A lost configuration is restored once in this time by itself.
RESTORE_ONCE_IN = 3600.0
# How often the API is asked whether a module that was configured on a bench has appeared.
APPEARING_EVERY = 60.0
# How soon a campaign takes note of what has become of its members.
CAMPAIGN_EVERY = 0.5
CAMPAIGN_WAVE_LARGEST = 100
PAUSE_ALL_SECONDS = 60.0
# The longest trial, and as long again as everything around it may take.
SESSION_SILENCE_LONGEST = 2.0 * TRIAL_LONGEST
# Some thousand events; a session is a dozen.
JOURNAL_ROOM = 1024 * 1024
DISK_LOOK_EVERY = 2.0
# systemd ends a daemon that misses three of these.
SIGNS_OF_LIFE = 3
# How soon `systemctl status` tells what has changed; of a pause, which no module's news announce, a little later.
STATUS_PAUSE = 1.0
STATUS_EVERY = 10.0
# How late the event loop gets round to what is due: looked at now and then, the worst of a minute is told.
LOOP_LAG_EVERY = 5.0
LOOP_LAG_KEPT = 12
# An API that is away is asked for again by one module alone, less and less often; then all go on.
OUTAGE_PROBE_FIRST = 5.0
OUTAGE_PROBE_LAST = 60.0

# ---- the page --------------------------------------------------------------------------------------

# The time to go from the terminal to the browser, or to scan a code.
SIGN_IN_LIFETIME = 10 * 60.0
SIGN_INS_OPEN = 16
# A working day.
PAGE_SESSION_LIFETIME = 12 * 3600.0
PAGE_SESSIONS_OPEN = 64
# What browsers still take of a certificate that nobody else vouches for (iOS: 825 days), and when it is renewed.
PAGE_CERTIFICATE_DAYS = 820
PAGE_CERTIFICATE_RENEWED_DAYS = 30

# ---- modules on the LAN (mDNS) -------------------------------------------------------------------

# Each has a socket. Hardware comes first in the kernel's numbering, containers' interfaces after it.
MDNS_ADDRESSES = 64
# An interface that comes up changes three or four times within a second.
MDNS_NETWORK_SETTLE = 1.0
# netlink makes this superfluous, but a sandbox may forbid it.
MDNS_NETWORK_EVERY = 30.0
# python-zeroconf asks 0, 1, 5 and 14 s after it has begun; who is silent to all four is gone.
MDNS_REBUILD_GRACE = 20.0
# A thousand announcements while the event loop is busy. The system's limit may be less, which is no failure.
MDNS_BUFFER = 1024 * 1024
# A module that restarts says goodbye and is back in a second or two.
MDNS_DEPARTURE_SETTLE = 5.0
# RFC 6762, section 10 recommends it for what does not concern hosts. More would outlast its sender's purpose.
MDNS_TTL_LONGEST = 4500
# The text of our modules has some hundred bytes.
MDNS_TEXT_LARGEST = 512
MDNS_VALUE_LONGEST = 64
MDNS_ROUTES = 8
# Of one name: while an address changes, the old one and the new one are there for a second.
MDNS_RECORDS_OF_A_NAME = 16
# Ids that neither manifest nor journal knows. Those that they know are not counted.
MDNS_UNKNOWN_KEPT = 1024
MDNS_GATEWAYS_KEPT = 8
# Addresses of which it is remembered whether they are neighbours'.
MDNS_NEIGHBOURS = 2048
# How many may be new until python-zeroconf's schedule of queries, which forgets nobody early, is begun anew.
MDNS_NEWCOMERS = 4096
MDNS_TEND_EVERY = 10.0
MDNS_COMPLAIN_EVERY = 60.0
# Most responders send all records at once. A query is repeated within its deadline, at 0, 0.2, 1.2, 2.2 s.
MDNS_ASKED_AT_ONCE = 8
MDNS_ASK_DEADLINE = 3.0
MDNS_ASK_TRIES = 3
# Names that are looked at in one turn of the event loop, 30 us each.
MDNS_READ_AT_ONCE = 32

# ---- the box's own Wi-Fi (NetworkManager over D-Bus) ----------------------------------------------

# Of one machine: what takes longer is not coming.
BUS_CALL_DEADLINE = 5.0
BUS_RECONNECT_FIRST = 1.0
BUS_RECONNECT_LAST = 60.0
# Roaming, a short loss of the signal and a restart of NetworkManager are over by then.
BOX_NETWORK_SETTLE = 10.0
# A new connection is some thirty signals within a second; one look is enough for them.
BOX_NETWORK_PAUSE = 0.5
# Signals make this superfluous but for what they do not tell, such as the name of a hidden network.
BOX_NETWORK_EVERY = 60.0
# Containers and virtual machines have some, too.
BOX_CONNECTIONS = 64

# ---- maintenance ---------------------------------------------------------------------------------

ROTATE_AT_ONCE_DEFAULT = 20
# Some thousand modules a site, all of which a window of two hours has time for.
ROTATE_AT_ONCE_LARGEST = 1000
# NTP steps a clock only when it is far off; ends of certificates and windows do not depend on less than this.
CLOCK_JUMP = 30.0
# A box without a battery for its clock has got its time, and has seen it corrected, by then.
CLOCK_JUMP_REMEMBERED = 15 * 60.0
CLOCK_OFFSETS_KEPT = 256

# ---- memory --------------------------------------------------------------------------------------

MEMORY_EVERY = 30.0
MEMORY_GROWTH = 1024 * 1024

# ---- retries -------------------------------------------------------------------------------------

BACKOFF_FIRST = 5.0
BACKOFF_LAST = 600.0


def is_over(until: float, now: float) -> bool:
    """Whether a wait has ended, both in seconds since the epoch.

    None is longer than BACKOFF_LAST. One that has more left began before the clock was put back, and would last for as
    long as that.
    """
    return until <= now or until > now + BACKOFF_LAST


def lan_backoff(losses: int) -> float:
    """The most to wait, in seconds, after the ``losses``-th lost session in a row (1, 2, …); jitter is the caller's."""
    return float(min(LAN_LOST_FIRST * 2.0 ** (min(max(losses, 1), 16) - 1), LAN_LOST_LAST))


def backoff(attempt: int) -> float:
    """Seconds to wait after the ``attempt``-th failure in a row (1, 2, …): doubling, bounded."""
    doublings = min(max(attempt, 1) - 1, 16)
    return float(min(BACKOFF_FIRST * 2.0**doublings, BACKOFF_LAST))


# ---- what the API, the broker and the witness's file may say -------------------------------------

# A server that asks for more patience than this is asked again all the same.
RETRY_AFTER_LONGEST = 3600.0
API_DETAIL_LARGEST = 300
# The body of a refusal is read for its message only.
API_REFUSAL_LARGEST = 16 * 1024
# An RSA-4096 key is 3.3 KiB of PEM, a chain of eight RSA certificates about 16.
PEM_LARGEST = 32 * 1024
CA_CERTIFICATES_LARGEST = 8
# A name with more addresses than this is a mistake; each address gets its share of the deadline.
BROKER_ADDRESSES_TRIED = 4
# What a broker that is gone anyway may cost when its connection is closed.
BROKER_CLOSE_DEADLINE = 1.0
BROKER_KEEPALIVE = 30
NTP_RESEND = 1.0
WITNESS_FILE_LARGEST = 64 * 1024
WITNESS_PAYLOAD_LARGEST = 64 * 1024
# A generation is a uint32 on the device link.
GENERATION_LARGEST = 2**32 - 1
