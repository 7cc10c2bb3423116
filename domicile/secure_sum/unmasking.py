"""The committee's side: masked vectors are added in constant memory, then the masks are taken away.

Shapes: P flat parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from domicile.crypto.masks import Masks
from domicile.errors import SecureSumError
from domicile.secure_sum.answer import Agreed, read_answer, secrets_asked
from domicile.secure_sum.context import SumContext
from domicile.secure_sum.graph import Graph, adds
from domicile.secure_sum.grid import PIECE_VALUES, Quantities, SumGrid, sum_of_squares
from domicile.secure_sum.interpolation import common, first_fit
from domicile.secure_sum.masking import HEADER, MAGIC, VERSION
from domicile.secure_sum.seeds import ShareChecks, edge_check, self_check
from domicile.secure_sum.sheet import Sheet
from domicile.types import Address


class Source(Protocol):
    """Where bytes come from; 0 means the end."""

    def readinto(self, buffer: memoryview, /) -> int: ...


class Unmasking:
    """Collects the answers of one round and recovers the seeds that they open."""

    def __init__(self, agreed: Agreed, *, graph: Graph, sheets: Mapping[Address, Sheet]) -> None:
        """`sheets`: of all survivors, as committed."""
        self._agreed = agreed
        self._graph = graph
        self._sheets = sheets
        self._answered: set[Address] = set()
        survivors = frozenset(agreed.survivors)
        # Where there is no mask, what was dealt for it is junk.
        self._shares: dict[Address, dict[int, dict[int, bytes]]] = {
            dealer: {
                secret: {}
                for secret in secrets_asked(graph, survivors, dealer)
                if secret == 0 or sheets[dealer].has_edge(secret)
            }
            for dealer in agreed.survivors
        }
        """Good shares by dealer, secret and the holder's number."""
        self._places: dict[Address, int] = {}
        self._seeds: dict[Address, dict[int, bytes]] = {}
        """Of those dealers whose opened seeds are all found."""

        self.bad_holders: dict[Address, str] = {}
        """Who answered with something that does not hold, and what."""

        self.complaints: dict[Address, set[Address]] = {}
        """By dealer, the holders who say that its column does not hold."""

        self.bad_dealers: set[Address] = set()
        """Who dealt shares that lie on no common polynomial, or lead to another secret than its sheet says."""

    @property
    def context(self) -> SumContext:
        return self._agreed.context

    @property
    def survivors(self) -> tuple[Address, ...]:
        return self._agreed.survivors

    def take(self, holder: Address, raw: bytes, *, place: int = 0) -> None:
        """Takes an answer. What does not hold in it is left out, its holder named in `bad_holders`; the rest counts.

        `place`: its place among the answers that the board tells, since answers may be read in another order. A second
        answer of one holder is not looked at.
        """
        if holder in self._answered or holder not in self.survivors:
            return
        self._answered.add(holder)
        self._places[holder] = place
        try:
            answer = read_answer(raw, self._agreed, graph=self._graph, holder=holder)
        except SecureSumError as exc:
            self.bad_holders[holder] = str(exc)
            return
        for dealer in answer.without:
            self.complaints.setdefault(dealer, set()).add(holder)
        for dealer, shares in answer.shares.items():
            number, sheet = self._graph.numbers[dealer][holder], self._sheets[dealer]
            check_of = ShareChecks(self.context, dealer)
            for secret, known in self._shares[dealer].items():
                if check_of.of(number, secret, shares[secret]) == sheet.share_check(number, secret):
                    known[number] = shares[secret]
                else:
                    self.bad_holders[holder] = f"its share of {dealer} is not the one that was dealt"

    @property
    def lacking(self) -> dict[Address, int]:
        """Survivors whose masks cannot be taken away yet, and how many good shares are missing."""
        missing = {}
        for dealer, secrets in self._shares.items():
            short = self._graph.threshold - min(len(shares) for shares in secrets.values())
            if short > 0:
                missing[dealer] = short
        return missing

    def unsolved(self) -> list[Address]:
        """Survivors whose shares are enough and lead to no secret yet; a further answer may help. They are among
        `bad_dealers`, as is who dealt badly and was solved all the same.
        """
        return [
            dealer
            for dealer in self.survivors
            if dealer not in self._seeds and dealer not in self.lacking and not self._solve(dealer)
        ]

    def masks(self) -> Masks:
        """What takes away the masks that do not cancel.

        Raises:
            SecureSumError: shares are missing, or a dealer's shares lead to no secret, which names it.
        """
        if lacking := self.lacking:
            dealer, short = next(iter(lacking.items()))
            raise SecureSumError(
                f"the masks of {len(lacking)} survivors cannot be taken away, {dealer} lacks {short} good shares; "
                "waiting for more answers"
            )
        if unsolved := self.unsolved():
            raise SecureSumError(f"{unsolved[0]} dealt shares that lead to no secret; waiting for more answers")
        added, subtracted = [], []
        for dealer in self.survivors:
            for secret, seed in self._seeds[dealer].items():
                if secret and not adds(dealer, self._other_end(dealer, secret)):
                    added.append(seed)
                else:
                    subtracted.append(seed)
        return Masks(added=added, subtracted=subtracted)

    def recovered(self, dealer: Address) -> dict[int, bytes]:
        """The opened seeds of one dealer, by secret.

        Raises:
            SecureSumError: as of `masks`.
        """
        self.masks()
        return self._seeds[dealer]

    def _solve(self, dealer: Address) -> bool:
        """Looks for all opened seeds of a dealer; `False` at the first that no set of shares leads to."""
        known = {secret: self._in_order(dealer, shares) for secret, shares in self._shares[dealer].items()}
        seeds = common(known, self._graph.threshold)
        for secret, seed in seeds.items():
            if self._is_seed(dealer, secret, seed):
                continue
            self.bad_dealers.add(dealer)

            def fits(found: bytes, secret: int = secret) -> bool:
                return self._is_seed(dealer, secret, found)

            fitting = first_fit(known[secret], self._graph.threshold, fits)
            if fitting is None:
                return False
            seeds[secret] = fitting
        self._seeds[dealer] = seeds
        return True

    def _in_order(self, dealer: Address, shares: Mapping[int, bytes]) -> dict[int, bytes]:
        """By the board's order of the answers."""
        numbers = self._graph.numbers[dealer]
        holders = sorted((self._places[one], number) for one, number in numbers.items() if number in shares)
        return {number: shares[number] for _, number in holders}

    def _is_seed(self, dealer: Address, secret: int, seed: bytes) -> bool:
        if secret:
            check = edge_check(self.context, dealer, self._other_end(dealer, secret), seed)
        else:
            check = self_check(self.context, dealer, seed)
        return check == self._sheets[dealer].checks[secret]

    def _other_end(self, dealer: Address, secret: int) -> Address:
        return self._graph.neighbours[dealer][secret - 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class SecureMean:
    """What the committee learns of a round, and all that it learns."""

    mean_P: NDArray[np.float32]
    """Weighted mean of the clipped updates, shape (P,)."""

    units: int
    """Sum of the weight units."""

    figures: dict[str, float]
    """Sums, by the names of the quantities."""


class MaskedSum:
    """Adds masked vectors modulo 2^32 and 2^64; memory for one vector and one piece, whatever the number of nodes."""

    def __init__(self, grid: SumGrid, quantities: Quantities, num_values: int) -> None:
        self._grid = grid
        self._quantities = quantities
        self._words = np.zeros(num_values, dtype=np.uint32)
        self._scalars = np.zeros(len(quantities.all), dtype=np.uint64)
        self._piece = np.empty(PIECE_VALUES, dtype=np.uint32)
        self._added: set[Address] = set()
        self._whole = True

    def check(self, sheet: Sheet, source: Source) -> None:
        """Reads a masked vector and adds nothing: whether it could be added.

        Raises:
            SecureSumError: malformed, or not the one that the sheet belongs to. Errors of the source pass through.
        """
        scalars = self._read_head(sheet, source)
        del scalars
        for start in range(0, len(self._words), PIECE_VALUES):
            self._fill(sheet, source, self._piece[: len(self._words[start : start + PIECE_VALUES])])
        self._require_end(sheet, source)

    def add(self, sheet: Sheet, source: Source) -> None:
        """Adds the vector of one survivor, once. After an error the sum is spoiled: `reset` it and add all anew.

        Raises:
            SecureSumError: as of `check`.
        """
        if sheet.dealer in self._added:
            raise ValueError(f"the vector of {sheet.dealer} was added already")
        self._whole = False
        self._scalars += self._read_head(sheet, source)
        for start in range(0, len(self._words), PIECE_VALUES):
            part = self._words[start : start + PIECE_VALUES]
            self._fill(sheet, source, self._piece[: len(part)])
            np.add(part, self._piece[: len(part)], out=part)
        self._require_end(sheet, source)
        self._added.add(sheet.dealer)
        self._whole = True

    def reset(self) -> None:
        """Starts a new sum in the same memory."""
        self._words.fill(0)
        self._scalars.fill(0)
        self._added.clear()
        self._whole = True

    def finish(self, unmasking: Unmasking) -> SecureMean:
        """Takes the masks away; the sum is used up, unless they cannot be taken away yet.

        Raises:
            SecureSumError: shares are missing, a dealer's lead to no secret, or what comes out is no sum of proper
                updates: some survivor's masks or values are garbage, and nobody can tell whose.
        """
        if not self._whole or self._added != set(unmasking.survivors):
            raise ValueError("the sum does not hold exactly the survivors; reset it and add them anew")
        masks = unmasking.masks()
        masks.apply(self._scalars)
        masks.apply(self._words)
        self._whole = False
        num = len(unmasking.survivors)
        every = self._quantities.all
        sums = [one.decode(int(word), num) for one, word in zip(every, self._scalars, strict=True)]
        num_nodes, units = int(self._scalars[0]), int(self._scalars[1])
        if num_nodes != num or not num <= units <= num * self._grid.weight_units or any(map(math.isnan, sums)):
            raise _garbage("its scalars are no sums")
        figures = {one.name: value for one, value in zip(every[2:], sums[2:], strict=True)}
        return SecureMean(mean_P=self._mean(num, units), units=units, figures=figures)

    def _mean(self, num_survivors: int, units: int) -> NDArray[np.float32]:
        words, mean_P = self._words.view(np.int32), np.empty(len(self._words), dtype=np.float32)
        scale = self._grid.step * self._grid.weight_units / units
        limit, square = self._grid.sum_limit(num_survivors), 0.0
        for start in range(0, len(words), PIECE_VALUES):
            piece = words[start : start + PIECE_VALUES].astype(np.float64)
            if np.abs(piece).max() > limit:
                raise _garbage("a coordinate is beyond what the survivors can have")
            square += sum_of_squares(piece)
            np.multiply(piece, scale, out=mean_P[start : start + PIECE_VALUES], casting="same_kind")
        if math.sqrt(square) > self._grid.norm_limit(num_survivors, units, len(words)):
            raise _garbage("its norm is beyond what clipped updates have")
        return mean_P

    def _read_head(self, sheet: Sheet, source: Source) -> NDArray[np.uint64]:
        header = bytearray(HEADER.size)
        self._fill_bytes(sheet, source, memoryview(header))
        expected = HEADER.pack(MAGIC, VERSION, len(self._scalars), len(self._words), sheet.digest)
        if header != expected:
            raise _malformed(sheet, "another layout, or not the vector of its sheet")
        scalars = np.empty_like(self._scalars)
        self._fill_bytes(sheet, source, scalars.data.cast("B"))
        return scalars

    def _fill(self, sheet: Sheet, source: Source, words: NDArray[np.uint32]) -> None:
        self._fill_bytes(sheet, source, words.data.cast("B"))

    @staticmethod
    def _fill_bytes(sheet: Sheet, source: Source, view: memoryview) -> None:
        while len(view):
            got = source.readinto(view)
            if not got:
                raise _malformed(sheet, f"{len(view)} bytes are missing")
            view = view[got:]

    @staticmethod
    def _require_end(sheet: Sheet, source: Source) -> None:
        if source.readinto(memoryview(bytearray(1))):
            raise _malformed(sheet, "bytes follow its end")


def _malformed(sheet: Sheet, what: str) -> SecureSumError:
    return SecureSumError(f"the masked update of {sheet.dealer} does not hold ({what}); it is left out")


def _garbage(what: str) -> SecureSumError:
    return SecureSumError(f"the unmasked sum does not hold ({what}); a survivor's masks or values are garbage")
