"""What an order does outside: provisioning calls by hand, and replacements. Every step may run twice."""

from __future__ import annotations

from dataclasses import replace

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.core.events import Named
from ucm_provision.core.kinds import WITH_HARDWARE_ID, WITH_SITE
from ucm_provision.core.machine import Session
from ucm_provision.core.model import Device, ProvisionArguments, Provisioned
from ucm_provision.core.orders import Order, Replacement, is_result_of
from ucm_provision.core.plan import ExpectedModule, SitePlan
from ucm_provision.core.ports import ProvisioningApi
from ucm_provision.engine.operator import Operator
from ucm_provision.engine.order_book import OrderBook
from ucm_provision.engine.ports import Expectations
from ucm_provision.engine.record import Record

# A provisioning call that ends like this has added nothing by itself; one before it may have.
_REFUSALS = frozenset({Code.API_REJECTED, Code.API_CONFLICT, Code.API_NOT_FOUND})


class ProvisionSteps:
    """One provisioning call by hand: one device, however often it is begun anew."""

    def __init__(self, book: OrderBook, api: ProvisioningApi, plan: SitePlan) -> None:
        self._book = book
        self._api = api
        self._plan = plan

    async def carry_out(self, order: Order) -> Provisioned:
        """Returns the device, with its configuration if it gets one.

        Raises:
            UcmError: ``slug_taken``, or an ``api_…`` failure.
        """
        order, arguments = await self._with_site(order)
        if arguments.kind in WITH_HARDWARE_ID:
            return await self._ask(order, arguments)
        if device := await self._added_before(order, arguments):
            return Provisioned(device.id, device.slug)
        try:
            return await self._ask(order, arguments)
        except UcmError as error:
            # An earlier call, whose answer got lost, may have been carried out only now.
            if error.code not in _REFUSALS or not order.asked:
                raise
            if device := await self._ours(arguments):
                return Provisioned(device.id, device.slug)
            raise

    async def _with_site(self, order: Order) -> tuple[Order, ProvisionArguments]:
        arguments = order.arguments
        assert arguments is not None, "a replacement is not provisioned"
        if arguments.site_id or arguments.kind not in WITH_SITE:
            return order, arguments
        site_id = self._plan.site_id or await self._api.site_id()
        arguments = replace(arguments, site_id=site_id)
        return await self._book.keep(replace(order, arguments=arguments)), arguments

    async def _ask(self, order: Order, arguments: ProvisionArguments) -> Provisioned:
        """Journals that the API is asked before it is: from then on the device may exist."""
        await self._book.keep(replace(order, asked=order.asked + 1))
        return await self._api.provision(arguments)

    async def _added_before(self, order: Order, arguments: ProvisionArguments) -> Device | None:
        """The device, if a call whose answer got lost has added it."""
        device = await self._api.device(arguments.slug)
        if device is not None and not (order.asked and is_result_of(device, arguments)):
            raise UcmError(Code.SLUG_TAKEN, f'"{arguments.slug}" is device {device.id}')
        return device

    async def _ours(self, arguments: ProvisionArguments) -> Device | None:
        device = await self._api.device(arguments.slug)
        return device if device and is_result_of(device, arguments) else None


class ReplacementSteps:
    """A dead module's name and slug pass to other hardware: in the API, in the manifest, and then on the cable."""

    def __init__(self, api: ProvisioningApi, expected: Expectations, record: Record, operator: Operator) -> None:
        self._api = api
        self._expected = expected
        self._record = record
        self._operator = operator

    async def carry_out(self, order: Order) -> Provisioned:
        """Returns the dead module's device. The new module's session does the rest, whenever it is plugged in."""
        replacement = order.replacement
        assert replacement is not None, "only replacements come here"
        await self._free_the_slug(replacement)
        await self._expected.put(*moved(replacement, self._expected))
        await self._name(replacement.old_hardware_id, replacement.parting_name, order.by)
        await self._provision_anew(replacement, order.by)
        return Provisioned(replacement.device_id, replacement.parting_slug)

    async def _free_the_slug(self, replacement: Replacement) -> None:
        try:
            await self._api.rename(replacement.device_id, name=replacement.parting_name, slug=replacement.parting_slug)
        except UcmError as error:
            if error.code is not Code.API_NOT_FOUND:  # who has removed the device has freed the slug, too
                raise

    async def _provision_anew(self, replacement: Replacement, by: str) -> None:
        """A new module that has got another name already is asked for again; one that has none yet gets there alone."""
        session = self._record.latest_of(replacement.new_hardware_id)
        if session is None:
            return
        anew = (session.milestone.ended or session.arguments) and not _is_named(session, replacement)
        await self._name(replacement.new_hardware_id, replacement.name, by)
        if anew:
            await self._operator.reprovision(session.id, by)

    async def _name(self, hardware_id: str, name: str, by: str) -> None:
        """What operators called a module goes before the manifest, so that a replacement has to say so, too."""
        session = self._record.latest_of(hardware_id)
        if session and self._record.named(hardware_id) not in ("", name):
            await self._record.add(session.id, Named(name, by))


def _is_named(session: Session, replacement: Replacement) -> bool:
    named = session.arguments is not None and session.arguments.name == replacement.name
    return named and (session.slug == replacement.slug or not session.milestone.ended)


def moved(replacement: Replacement, expected: Expectations) -> list[ExpectedModule]:
    """The lines of the manifest after a replacement. Applied to its own result, it changes nothing."""
    old = expected.get(replacement.old_hardware_id) if replacement.old_hardware_id else None
    new = expected.get(replacement.new_hardware_id) or ExpectedModule(replacement.new_hardware_id)
    new = replace(new, name=replacement.name, slug=replacement.slug)
    if old is None:
        return [new]
    inherited = replace(
        new,
        kind=new.kind or old.kind,
        protocol=new.protocol or old.protocol,
        master=new.master or old.master,
        blueprint=old.blueprint or new.blueprint,
    )
    return [inherited, replace(old, name="", slug="", blueprint="")]
