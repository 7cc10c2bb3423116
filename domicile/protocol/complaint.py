"""What all refusals of the contracts have in common."""

from __future__ import annotations

from typing import ClassVar

from domicile.errors import Refused


class ContractRefusal(Refused):
    """Base of the named refusals. Equal if of one kind and with equal fields."""

    cause: ClassVar[str]
    mend: ClassVar[str]

    def __init__(self, **fields: object) -> None:
        expected = tuple(type(self).__annotations__)
        if tuple(fields) != expected:
            raise TypeError(f"{type(self).__name__} takes {expected}, not {tuple(fields)}")
        for name, value in fields.items():
            setattr(self, name, value)
        super().__init__(f"{self.complaint} Mend: {self.mend}.")

    @property
    def complaint(self) -> str:
        """What is wrong, without the mend: for those who only look on."""
        told = ", ".join(f"{name} {shown(value)}" for name, value in vars(self).items())
        return f"{type(self).__name__}{f' ({told})' if told else ''}: {self.cause}"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(str(self))


def shown(value: object) -> str:
    """A field as it is told: bytes in hexadecimal, enums by name."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(getattr(value, "name", value))
