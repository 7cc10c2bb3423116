"""What two members derive from their masking keys, each for itself and for one round alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domicile.crypto.keys import MaskingKey
from domicile.crypto.masks import SEED_BYTES
from domicile.errors import ConfigurationError
from domicile.secure_sum.context import SumContext, address_bytes, tagged_hash
from domicile.types import Address

CHECK_BYTES = 32
SHARE_CHECK_BYTES = 16
"""Against a second preimage. A dealer who finds two shares of one hash has spoiled its own secret, no more."""

_EDGE_LABEL = b"domicile secure sum edge v1"
_COLUMN_LABEL = b"domicile secure sum column v1"
_SELF_CHECK = b"domicile secure sum self check v1"
_EDGE_CHECK = b"domicile secure sum edge check v1"
_SHARE_CHECK = b"domicile secure sum share check v1"


class PairSecrets:
    """What one member shares with each of the others in a round: X25519 (RFC 7748), then HKDF-SHA256 (RFC 5869)."""

    def __init__(self, own: Address, key: MaskingKey, publics: Mapping[Address, bytes], context: SumContext) -> None:
        """`publics`: masking keys of the registered key cards; who has no usable card is left out.

        Raises:
            ConfigurationError: the own card has another key than this.
        """
        if publics.get(own, key.public_bytes) != key.public_bytes:
            raise ConfigurationError(f"the key card of {own} has another masking key than its key file; register anew")
        self.own = own
        self.context = context
        self._key = key
        self._publics = {**publics, own: key.public_bytes}
        self._agreed: dict[Address, bytes] = {}

    def knows(self, other: Address) -> bool:
        """Whether the other one has a usable masking key."""
        return other in self._publics

    def edge_seed(self, other: Address) -> bytes:
        """The seed of the mask between two members, the same for both.

        Raises:
            PeerError: the other one's key is none.
        """
        pairs = [(address_bytes(one), self._publics[one]) for one in (self.own, other)]
        return self._derive(other, _EDGE_LABEL, *(part for pair in sorted(pairs) for part in pair))

    def column_key(self, dealer: Address, holder: Address, salt: bytes) -> bytes:
        """The AES-256-GCM key of what a dealer's sheet holds for a holder; this member is one of them, or both.

        The dealer's fresh salt keeps a key from serving twice, should a node that lost its journal deal anew.

        Raises:
            PeerError: the other one's key is none.
        """
        other = holder if dealer == self.own else dealer
        return self._derive(other, _COLUMN_LABEL, address_bytes(dealer), address_bytes(holder), salt)

    def _derive(self, other: Address, label: bytes, *parts: bytes) -> bytes:
        if other not in self._agreed:
            self._agreed[other] = self._key.agree(self._publics[other])
        info = label + self.context.to_bytes() + b"".join(parts)
        hkdf = HKDF(algorithm=hashes.SHA256(), length=SEED_BYTES, salt=None, info=info)
        return hkdf.derive(self._agreed[other])

    def __repr__(self) -> str:
        return f"PairSecrets(own={self.own})"


def self_check(context: SumContext, dealer: Address, seed: bytes) -> bytes:
    """What a recovered self-mask seed must hash to."""
    return tagged_hash(_SELF_CHECK, context.to_bytes(), address_bytes(dealer), seed)


def edge_check(context: SumContext, one: Address, other: Address, seed: bytes) -> bytes:
    """What a recovered edge seed must hash to. Both ends publish it: where they differ, one of them lies."""
    return tagged_hash(_EDGE_CHECK, context.to_bytes(), *sorted((address_bytes(one), address_bytes(other))), seed)


class ShareChecks:
    """Hashes of a dealer's shares. Fewer shares than the threshold are uniform, so that a hash of one tells nothing."""

    def __init__(self, context: SumContext, dealer: Address) -> None:
        # There are tens of thousands in a large shard; what they begin with is hashed once.
        self._begun = hashlib.sha256(_SHARE_CHECK + b"\0" + context.to_bytes() + address_bytes(dealer))

    def of(self, holder_number: int, secret_number: int, share: bytes) -> bytes:
        """16 bytes; holders are numbered from 1, secrets from 0."""
        hasher = self._begun.copy()
        hasher.update(bytes((holder_number, secret_number)) + share)
        return hasher.digest()[:SHARE_CHECK_BYTES]
