"""Which events of the watch are from before what placement has written, or may have."""

from controller.manager.inhand import InHand


def test_while_a_write_is_on_its_way_what_it_was_computed_from_is_old() -> None:
    hand = InHand()
    assert not hand.is_ahead("a", 5)
    hand.begin("a", 5)
    assert hand.is_ahead("a", 4)
    assert hand.is_ahead("a", 5)
    assert not hand.is_ahead("a", 6)  # another writer was faster: ours is refused
    assert not hand.is_ahead("b", 5)


def test_after_a_write_everything_before_its_own_version_is_old() -> None:
    hand = InHand()
    hand.begin("a", 5)
    hand.landed("a", 8)
    assert hand.is_ahead("a", 7)
    assert not hand.is_ahead("a", 8)
    hand.settled("a")
    assert not hand.is_ahead("a", 7)


def test_a_refused_write_leaves_nothing() -> None:
    hand = InHand()
    hand.begin("a", 5)
    assert hand.refused("a")
    assert not hand.is_ahead("a", 5)


def test_an_unanswered_write_is_in_doubt_until_a_newer_version_is_seen() -> None:
    """A second try over the same version is refused when the first one was carried out."""
    hand = InHand()
    hand.begin("a", 5)
    hand.unanswered("a")
    assert hand.is_ahead("a", 5)
    hand.begin("a", 5)
    assert not hand.refused("a")
    assert hand.is_ahead("a", 5)
    assert not hand.is_ahead("a", 6)
    hand.begin("a", 6)
    assert hand.refused("a")
