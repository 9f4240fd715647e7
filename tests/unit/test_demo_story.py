"""The story of the demo: the same for the same seed, and of scenes that there are scripts for."""

from itertools import islice

from tidewire.demo import scripts
from tidewire.demo.story import CUSTOMERS, PROFESSIONALS, SCENES, TENANTS, Scene, Story


def scenes(seed: int, count: int) -> list[Scene]:
    story = Story(seed)
    return list(islice(iter(story.next_scene, None), count))


def test_a_seed_tells_one_story() -> None:
    assert scenes(7, 200) == scenes(7, 200)
    assert scenes(7, 200) != scenes(8, 200)


def test_everything_happens_and_the_parameters_fit() -> None:
    told = scenes(7, 2000)
    assert {scene.script for scene in told} == set(SCENES)
    for scene in told:
        script = scripts.load(scene.script)
        assert script.startswith("-- Purpose: ")
        assert scene.values["tenant"] in TENANTS
        assert 1 <= int(scene.values["customer"]) <= CUSTOMERS
        assert 1 <= int(scene.values["professional"]) <= PROFESSIONALS
    for name, most in (("customer", CUSTOMERS), ("professional", PROFESSIONALS)):
        chosen = [int(scene.values[name]) for scene in told]
        assert 0.1 < chosen.count(1) / len(chosen) < 0.3, "the window of the first has something to show"
        assert max(chosen) > most * 0.9


def test_pauses_are_uneven_but_bounded() -> None:
    story = Story(7)
    pauses = [story.pause(0.4) for _ in range(500)]
    assert 0.08 <= min(pauses) < 0.1
    assert 0.7 < max(pauses) <= 0.72


def test_the_version_is_of_all_scripts() -> None:
    assert len(scripts.version()) == 16
    assert "".join(map(scripts.load, scripts.MAKING)).count("-- Purpose: ") == len(scripts.MAKING)
