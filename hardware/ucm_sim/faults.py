"""What a module answers when protocomm itself refuses: a number and nothing else."""

from enum import IntEnum


class EspErr(IntEnum):
    """The low 16 bits of an `esp_err_t`, as a response frame carries them."""

    FAIL = 0xFFFF  # ESP_FAIL is -1
    NO_MEM = 0x101
    INVALID_ARG = 0x102
    INVALID_STATE = 0x103
    INVALID_SIZE = 0x104
    NOT_FOUND = 0x105


class EndpointError(Exception):
    """An endpoint call that protocomm refuses; `reason` is for the module's console only."""

    def __init__(self, code: EspErr, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
