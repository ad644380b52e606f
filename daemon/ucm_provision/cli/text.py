"""The daemon's answers as plain aligned text."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ucm_provision.wire import (
        ApiChoice,
        AttachedView,
        CampaignPlan,
        CampaignView,
        ChosenView,
        InspectionAnswer,
        ModuleDetail,
        ModuleView,
        OrderView,
        ScanAnswer,
        StatusView,
        WifiView,
    )

_GATEWAY_HEADER = ("GATEWAY", "HOST", "PORT", "ADDRESSES")
_HEARD_HEADER = ("SSID", "SIGNAL", "CHANNEL", "SECURITY", "ACCESS POINT", "")
_WIFI_HEADER = ("SSID", "PASSPHRASE", "HIDDEN", "ACCESS POINT")
_ORDER_HEADER = ("ORDER", "WHAT", "NAME", "HARDWARE ID", "SLUG", "DEVICE", "STATE", "BY")
_HEADER = ("NAME", "HARDWARE ID", "MODEL", "WHERE", "STATE")


def status_text(status: StatusView, modules: Sequence[ModuleView]) -> str:
    """The site at a glance."""
    return "\n".join(f"{name:<8}  {value}" for name, value in status_facts(status, modules))


def status_facts(status: StatusView, modules: Sequence[ModuleView]) -> list[tuple[str, str]]:
    """What there is to say of the site, each with what it is about."""
    api = status["api"]
    rows = [
        ("daemon", f"{status['version']}, up {_duration(time.time() - status['started_at'])}, box {status['box_id']}"),
        ("API", (api["url"] or "none yet: ucmctl api show") + (f", site {api['site_id']}" if api["site_id"] else "")),
        ("witness", status["witness"]),
        ("Wi-Fi", ", ".join(status["wifi"]) or "no network configured: modules keep theirs"),
        ("modules", _counts(modules)),
    ]
    if status["fleet"]:
        rows.append(("fleet", status["fleet"]))
    if status["box_wifi"]:
        rows.append(("this box", f"on {status['box_wifi']}"))
    if status["campaign"]:
        rows.append(("campaign", f"{status['campaign']} is open: ucmctl wifi campaigns"))
    elif status["outdated"]:
        rows.append(("networks", f"{status['outdated']} modules hold others: ucmctl wifi change --dry-run"))
    if status["orders"].get("open"):
        rows.append(("orders", f"{status['orders']['open']} open: ucmctl orders"))
    if status["paused"]:
        rows.insert(1, ("PAUSED", status["paused"]["message"]))
    return rows


def _counts(modules: Sequence[ModuleView]) -> str:
    counts = Counter(state(module) for module in modules)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none seen yet"


def list_text(modules: Sequence[ModuleView]) -> str:
    """A line for each module, and below it what it waits for."""
    if not modules:
        return (
            "No modules yet. Plug one in; "
            "if it stays away, docs/OPERATIONS.md#a-module-that-is-not-listed-at-all helps."
        )
    rows = [
        (m["name"] or "-", m["hardware_id"] or "not known yet", m["model"] or "-", m["endpoint"], state(m))
        for m in modules
    ]
    lines = _columns([_HEADER, *rows])
    for index, module in reversed(list(enumerate(modules, start=1))):
        if told := module["hold"] or module["trouble"]:
            lines.insert(index + 1, f"  {told['message']}")
    return "\n".join(lines)


def state(module: ModuleView) -> str:
    """Where a module stands, in a word or two."""
    if module["activity"]:
        return " ".join(filter(None, (module["activity"]["step"], module["activity"]["detail"])))
    if hold := module["hold"]:
        return {"retry_at": "tries again", "device_gone": "unplugged", "operator": "needs you"}[hold["waits"]]
    if module["appears_later"]:
        return "waiting to appear"
    if module["left_alone_by"]:
        return "left alone"
    return f"{module['milestone'].lower()}, but not well" if module["trouble"] else module["milestone"].lower()


def label(module: ModuleView) -> str:
    """What a person calls a module, as far as it is known."""
    return module["name"] or module["hardware_id"] or module["announced_id"] or module["endpoint"]


def orders_text(orders: Sequence[OrderView]) -> str:
    """A line for each order, and below it why it is not done."""
    if not orders:
        return "No orders yet."
    rows = [
        (
            order["id"],
            order["kind"].replace("_", "-"),
            order["name"] or "-",
            order["hardware_id"] or "-",
            order["slug"] or "-",
            order["device_id"] or "-",
            order["state"],
            order["by"],
        )
        for order in orders
    ]
    lines = _columns([_ORDER_HEADER, *rows])
    for index, order in reversed(list(enumerate(orders, start=1))):
        if order["message"]:
            lines.insert(index + 1, f"  {order['message']}")
    return "\n".join(lines)


def show_text(detail: ModuleDetail) -> str:
    """Everything about one module: facts, evidence, what it waits for, history."""
    module = detail["module"]
    facts = [
        ("hardware id", module["hardware_id"]),
        ("says it is", "" if module["hardware_id"] else module["announced_id"]),
        ("name", module["name"]),
        ("model", " ".join(filter(None, (module["model"], module["firmware"])))),
        ("endpoint", module["endpoint"] + ("" if module["present"] else " (not there now)")),
        ("addresses", ", ".join(module["routes"])),
        ("state", state(module)),
        ("device", " ".join(filter(None, (module["device_id"], module["slug"])))),
        ("protocol", module["protocol"]),
        ("managed by", module["managed_by"]),
        ("generation", str(module["generation"] or "")),
        ("evidence", _evidence(module)),
        ("trouble", module["trouble"]["message"] if module["trouble"] else ""),
    ]
    lines = [f"{name:<11}  {value}" for name, value in facts if value]
    lines += [f"LINK slave   {_attached(slave)}" for slave in module["attached"]]
    lines += [f"warning      {warning}" for warning in module["warnings"]]
    if module["hold"]:
        lines += ["", module["hold"]["message"]]
    lines += ["", *(f"{_clock(entry['at'])}  {entry['text']}" for entry in detail["timeline"])]
    return "\n".join(lines)


def api_text(choice: ApiChoice) -> str:
    """Which API is asked, and below it the Gateways that could be chosen."""
    why = {
        "configuration": "as the configuration says",
        "operator": f"the Gateway {choice['accepted']}, as an operator accepted",
        "nobody": "",
    }[choice["chosen_by"]]
    lines = [
        f"API  {choice['url']}, {why}" if choice["url"] else "No API yet: accept a Gateway with ucmctl api accept."
    ]
    gateways = choice["gateways"]
    rows = [(each["name"], each["host"], str(each["port"]), " ".join(each["addresses"])) for each in gateways]
    lines += ["", *_columns([_GATEWAY_HEADER, *rows])] if rows else ["", "No Gateway is seen on the LAN."]
    return "\n".join(lines)


def plan_text(plan: CampaignPlan) -> str:
    """What a campaign would do: to whom, who cannot be reached now, who is left out."""
    only = f", each online on {plan['only']}" if plan["only"] else ""
    head = f"{len(plan['members'])} modules would get {', '.join(plan['networks'])}{only}; nothing was changed."
    now = [each for each in plan["members"] if not each["why"]]
    later = [each for each in plan["members"] if each["why"]]
    parts = [("reached now", now), ("not reached now", later), ("left out", plan["left_out"])]
    return "\n".join([head, *(line for title, chosen in parts if chosen for line in _chosen(title, chosen))])


def _chosen(title: str, chosen: Sequence[ChosenView]) -> list[str]:
    rows = [(each["name"] or "-", each["hardware_id"], each["why"] or "") for each in chosen]
    return ["", f"{title}: {len(chosen)}", *(f"  {line}" for line in _columns(rows))]


def campaign_text(campaign: CampaignView) -> str:
    """How far a campaign is, and what there is to know of each module that is not done."""
    lines = [f"campaign {campaign['id']}: {progress_text(campaign)}"]
    if campaign["reason"]:
        lines.append(f"  {campaign['reason']}. ucmctl wifi resume goes on, ucmctl wifi abort ends it.")
    open_members = [each for each in campaign["members"] if each["state"] != "done"]
    rows = [(each["state"], each["name"] or "-", each["hardware_id"], each["message"] or "") for each in open_members]
    return "\n".join([*lines, *(f"  {line}" for line in _columns(rows))])


def progress_text(campaign: CampaignView) -> str:
    """One line: what, in which state, and how many."""
    counts = campaign["counts"]
    total = sum(counts.values())
    told = [f"{counts[name]} {name}" for name in ("running", "away", "pending", "failed") if counts.get(name)]
    what = f"{campaign['kind']} to {', '.join(campaign['networks'])}"
    return ", ".join([f"{what}: {campaign['state']}, {counts.get('done', 0)} of {total} done", *told])


def wifi_text(wifi: WifiView) -> str:
    """The networks, the preferred one first, and below them whose choice that is."""
    rows = [
        (each["ssid"], "none" if each["open"] else "set", "yes" if each["hidden"] else "no", each["bssid"] or "any")
        for each in wifi["networks"]
    ]
    lines = _columns([_WIFI_HEADER, *rows]) if rows else ["No network: modules keep theirs."]
    return "\n".join([*lines, "", _whose_networks(wifi)])


def _whose_networks(wifi: WifiView) -> str:
    if wifi["chosen_by"] == "configuration":
        return "As the configuration says."
    configured = ", ".join(wifi["configured"]) or "none"
    return f"As operators chose. ucmctl wifi reset returns to those of the configuration: {configured}."


def scan_text(answer: ScanAnswer) -> str:
    """A line for each network that a module hears, and whether it is one of the site's."""
    rows = [
        (
            each["ssid"] or "(hidden)",
            f"{each['rssi_dbm']} dBm",
            str(each["channel"]),
            each["security"],
            each["bssid"],
            "the site's" if each["known"] else "",
        )
        for each in answer["networks"]
    ]
    return "\n".join(_columns([_HEARD_HEADER, *rows])) if rows else "It hears no network."


def inspection_text(answer: InspectionAnswer) -> str:
    """One line: the module, and whether it is well."""
    module = answer["module"]
    return f"{label(module)}: {answer['message'] or 'well'}"


def _attached(slave: AttachedView) -> str:
    device = slave["device_id"] or "not added yet"
    return f"{slave['name']}  {slave['hardware_id']}  {slave['model']}  {device}"


def _evidence(module: ModuleView) -> str:
    evidence = module["evidence"]
    if not evidence:
        return ""
    if not evidence["generation"]:
        return f"{evidence['seen_by']} has {evidence['seen_what']}"
    return (
        f"reports {evidence['reported_phase']} on {evidence['ssid'] or 'its network'} ({evidence['rssi_dbm']} dBm); "
        f"{evidence['seen_by']} saw {evidence['seen_what']}"
    )


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    table = list(rows)
    if not table:
        return []
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _duration(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{max(int(seconds), 0)} s"
