import pytest

from tests.contracts.ground import Ground, code, refused, word

UNLISTED, OPEN, CONDITIONAL, HIGH_RISK, PROHIBITED = range(5)
EVERYWHERE = 2**256 - 1


def index(ground: Ground, place: str) -> int:
    return int(ground.nodes.call("indexOf", code(place)))


def tier(ground: Ground, place: str) -> int:
    return int(ground.nodes.call("tierOf", code(place)))


def tighten(ground: Ground, place: str, to: int):
    return ground.nodes.send(ground.governor, "tighten", code(place), to, word(5))


def loosen(ground: Ground, place: str, to: int):
    return ground.nodes.send(ground.governor, "loosen", code(place), to, word(6))


@pytest.mark.parametrize("bad", [b"\0" * 8, b"de\0\0\0\0\0\0", b"D\0E\0\0\0\0\0", b"D_\0\0\0\0\0\0", b" DE\0\0\0\0\0"])
def test_a_malformed_code_is_refused(ground: Ground, bad: bytes) -> None:
    list_it = lambda: ground.nodes.send(ground.governor, "list", bad, b"", OPEN, word(1))  # noqa: E731
    assert refused(list_it) == ("InvalidJurisdictionCode", (bad,))


def test_a_code_is_listed_once(ground: Ground) -> None:
    assert refused(lambda: ground.list_place("DE")) == ("JurisdictionAlreadyListed", (code("DE"),))


@pytest.mark.parametrize("place", ["CN", ""])
def test_a_place_that_was_never_listed_is_named_whatever_is_asked_of_it(ground: Ground, place: str) -> None:
    unknown = ("UnknownJurisdiction", (code(place),))
    govern = lambda *arguments: refused(lambda: ground.nodes.send(ground.governor, *arguments))  # noqa: E731
    assert govern("tighten", code(place), PROHIBITED, word(1)) == unknown
    assert govern("loosen", code(place), OPEN, word(1)) == unknown
    assert govern("setQuorum", code(place), 1) == unknown
    assert govern("raiseQuorum", code(place), 64) == unknown
    assert govern("addAttester", ground.people[0], [code("DE"), code(place)]) == unknown
    for view in ("indexOf", "tierOf", "quorumOf"):
        assert refused(lambda: ground.nodes.call(view, code(place))) == unknown  # noqa: B023


def test_a_parent_must_be_listed_before(ground: Ground) -> None:
    assert refused(lambda: ground.list_place("CN-SH", "CN")) == ("UnknownJurisdiction", (code("CN"),))


def test_unlisted_is_no_tier_to_give(ground: Ground) -> None:
    for act in (
        lambda: ground.list_place("CN", "", 0),
        lambda: tighten(ground, "DE", 0),
        lambda: loosen(ground, "DE", 0),
    ):
        assert refused(act) == ("InvalidTier", (UNLISTED,))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("list", (code("CN"), b"", OPEN, word(1))),
        ("loosen", (code("DE"), OPEN, word(1))),
        ("setGuardian", ("0x" + "11" * 20, True)),
    ],
)
def test_only_governance_lists_loosens_and_appoints(ground: Ground, function: str, arguments: tuple) -> None:
    stranger = ground.people[0]
    act = lambda: ground.nodes.send(stranger, function, *arguments)  # noqa: E731
    assert refused(act) == ("AccessManagedUnauthorized", (stranger,))


def test_only_guardians_tighten(ground: Ground) -> None:
    stranger = ground.people[0]
    act = lambda: ground.nodes.send(stranger, "tighten", code("DE"), PROHIBITED, word(1))  # noqa: E731
    assert refused(act) == ("NotGuardian", (stranger,))


def test_a_dismissed_guardian_tightens_no_more(ground: Ground) -> None:
    for enabled in (True, False):
        receipt = ground.nodes.send(ground.governor, "setGuardian", ground.governor, enabled)
        assert receipt.event("GuardianChanged") == {"account": ground.governor, "enabled": enabled}
        assert ground.nodes.call("isGuardian", ground.governor) is enabled
    assert refused(lambda: tighten(ground, "DE", PROHIBITED)) == ("NotGuardian", (ground.governor,))


@pytest.mark.parametrize("now", [OPEN, CONDITIONAL, HIGH_RISK, PROHIBITED])
@pytest.mark.parametrize("to", [OPEN, CONDITIONAL, HIGH_RISK, PROHIBITED])
def test_tightening_goes_up_and_loosening_down(ground: Ground, now: int, to: int) -> None:
    ground.list_place("CN", "", now)
    if to > now:
        assert tighten(ground, "CN", to).event("TierChanged") == {
            "code": code("CN"), "tier": to, "legalBasis": word(5)}  # fmt: skip
        assert tier(ground, "CN") == to
        assert refused(lambda: tighten(ground, "CN", to)) == ("NotTighter", (code("CN"), to, to))
        assert loosen(ground, "CN", now).event("TierChanged") == {
            "code": code("CN"), "tier": now, "legalBasis": word(6)}  # fmt: skip
        assert tier(ground, "CN") == now
    else:
        assert refused(lambda: tighten(ground, "CN", to)) == ("NotTighter", (code("CN"), now, to))
    for no_looser in range(now, PROHIBITED + 1):
        answer = refused(lambda: loosen(ground, "CN", no_looser))  # noqa: B023
        assert answer == ("NotLooser", (code("CN"), now, no_looser))


def test_loosening_forgets_every_stricter_tier(ground: Ground) -> None:
    for step in (CONDITIONAL, HIGH_RISK, PROHIBITED):
        tighten(ground, "DE", step)
    loosen(ground, "DE", CONDITIONAL)
    assert tier(ground, "DE") == CONDITIONAL
    loosen(ground, "DE", OPEN)
    assert tier(ground, "DE") == OPEN


def test_the_strictest_tier_on_the_path_counts(ground: Ground) -> None:
    tighten(ground, "EU", HIGH_RISK)
    assert (tier(ground, "DE"), tier(ground, "EU"), tier(ground, "US")) == (HIGH_RISK, HIGH_RISK, OPEN)
    tighten(ground, "DE", PROHIBITED)
    assert (tier(ground, "DE"), tier(ground, "FR"), tier(ground, "EU")) == (PROHIBITED, HIGH_RISK, HIGH_RISK)


def test_the_gate_knows_inside_denied_and_tier(ground: Ground) -> None:
    de, eu, us = (index(ground, place) for place in ("DE", "EU", "US"))
    gate = lambda *arguments: ground.nodes.call("gate", *arguments)  # noqa: E731
    assert gate(de, 1 << eu, 0, OPEN) == (True, True)
    assert gate(eu, 1 << de, 0, OPEN) == (False, True)
    assert gate(de, 1 << us, 0, OPEN) == (False, True)
    assert gate(de, 1 << eu, 1 << eu, OPEN) == (False, True)
    assert gate(de, 1 << eu, 1 << de, OPEN) == (False, True)
    for own in (CONDITIONAL, HIGH_RISK, PROHIBITED):
        tighten(ground, "EU", own)
        for accepted in (OPEN, CONDITIONAL, HIGH_RISK, PROHIBITED):
            assert gate(de, 1 << eu, 0, accepted) == (True, own <= accepted)


def test_none_and_the_unlisted_never_pass(ground: Ground) -> None:
    assert ground.nodes.call("gate", 0, EVERYWHERE - 1, 0, HIGH_RISK) == (False, False)
    assert ground.nodes.call("gate", 200, EVERYWHERE, 0, PROHIBITED) == (False, False)
    assert ground.nodes.call("gate", index(ground, "DE"), EVERYWHERE, 0, 0) == (True, False)


def test_a_listing_says_all_that_an_indexer_needs(ground: Ground) -> None:
    de = index(ground, "DE")
    listed = ground.list_place("DE-BE", "DE", CONDITIONAL).event("JurisdictionListed")
    own = listed["index"]
    closure = 1 << own | 1 << de | 1 << index(ground, "EU")
    assert listed == {
        "index": own, "code": code("DE-BE"), "parent": code("DE"), "tier": CONDITIONAL, "legalBasis": word(1),
        "closure": closure,
    }  # fmt: skip
    assert ground.nodes.call("closureOf", own) == closure
    assert ground.nodes.call("codeAt", own) == code("DE-BE")
    assert tier(ground, "DE-BE") == CONDITIONAL


def test_255_jurisdictions_fit_and_no_more(ground: Ground) -> None:
    ground.chain.rpc("anvil_setStorageAt", ground.nodes.address, hex(1), "0x" + (254).to_bytes(32, "big").hex())
    assert ground.list_place("AA", "EU").event("JurisdictionListed")["index"] == 255
    for own in (CONDITIONAL, HIGH_RISK):
        tighten(ground, "EU", own)
        assert tier(ground, "AA") == own, "its parent's tier lies in another word"
    tighten(ground, "AA", PROHIBITED)
    assert (tier(ground, "AA"), tier(ground, "EU"), tier(ground, "DE")) == (PROHIBITED, HIGH_RISK, HIGH_RISK)
    assert refused(lambda: ground.list_place("AB")) == ("JurisdictionsFull", ())
