"""Experiment trackers are told a run's figures, hold up nothing, and see no secret."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from loopback import Loopback

from potstill.cli import main
from potstill.errors import ConfigError, MissingExtraError
from potstill.pipeline import tracking
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.run import Run
from potstill.pipeline.tracked_recipe import HIDDEN, tracked_recipe
from potstill.pipeline.tracked_values import EventReader
from potstill.pipeline.tracking import RunTracking, check_trackers
from potstill.runtime.events import EventLog

accelerate_tracking = pytest.importorskip("accelerate.tracking")
Accelerator = pytest.importorskip("accelerate").Accelerator
STEP = {
    "student": "r",
    "step": 10,
    "loss": 0.5,
    "learning_rate": 0.1,
    "grad_norm": 2.0,
    "tokens": 9,
}


def recipe(folder: Path, **more: Any) -> Recipe:
    values = {
        "run": str(folder),
        "task": {"name": "two_step_arithmetic", "train": 4, "dev": 2, "test": 2},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "generate": {"samples": 1, "max_tokens": 64},
        "train": {"steps": 2, "batch_size": 2, "students": {"rationales": {}}},
        "evaluate": {"max_tokens": 8},
        **more,
    }
    return load_recipe(values)


class Told:
    """The values that fake trackers were given, and the way that they are to fail."""

    def __init__(self) -> None:
        self.config: list[dict[str, Any]] = []
        self.values: list[tuple[int | None, dict[str, float]]] = []
        self.threads: set[str] = set()
        self.finished = 0
        self.fails: Callable[[str], None] = lambda _: None


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Registers a tracker named ``fake`` with accelerate."""
    seen = Told()

    class FakeTracker(accelerate_tracking.GeneralTracker):  # type: ignore[misc, name-defined]
        name = "fake"
        requires_logging_directory = False

        def __init__(self, project: str) -> None:
            super().__init__()
            self.project = project

        @accelerate_tracking.on_main_process  # type: ignore[untyped-decorator]
        def start(self) -> None:
            print("Welcome to fake!")  # noqa: T201  # as some do
            seen.fails("open")

        @property
        def tracker(self) -> None:
            return None

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            seen.config.append(values)

        @accelerate_tracking.on_main_process  # type: ignore[untyped-decorator]
        def log(self, values: dict[str, float], step: int | None = None) -> None:
            accelerate_tracking.logger.debug("as accelerate's own do")
            seen.threads.add(threading.current_thread().name)
            seen.fails("log")
            seen.values.append((step, values))

        def finish(self) -> None:
            seen.finished += 1

    monkeypatch.setitem(accelerate_tracking.LOGGER_TYPE_TO_CLASS, "fake", FakeTracker)
    yield seen


def tracked(folder: Path, *names: str) -> tuple[RunTracking, EventLog, list[str]]:
    """The tracking of a run that has begun, its log, and the lines that it shows."""
    folder.mkdir(exist_ok=True)
    events, lines = EventLog(folder / "log.jsonl"), list[str]()
    events.show = lines.append
    own = RunTracking(recipe(folder, track={"to": [*names]}), events)
    own.begin()
    return own, events, lines


def test_a_tracker_is_told_the_recipe_once_and_what_the_log_is_told(
    tmp_path: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # a second command goes on
        own, events, lines = tracked(tmp_path / "run", "fake")
        events.record("training_step", **STEP)
        own.close()
        events.record("training_step", **STEP)  # told no more
        events.close()
        assert lines == []
    (config,) = told.config
    assert config["train.steps"] == 2 and config["teacher.model"] == "bundled:teacher"
    assert not any(name.startswith("track") for name in config)
    values = {"loss": 0.5, "learning_rate": 0.1, "grad_norm": 2.0, "tokens": 9.0}
    expected = (10, {f"train/r/{name}": value for name, value in values.items()})
    assert told.values == [expected, expected] and told.finished == 2
    assert told.threads == {"potstill-fake"}
    assert capsys.readouterr().out == ""  # standard output may be due to a document


def test_a_failure_in_the_middle_is_said_once_and_the_others_go_on(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_API_KEY", "sk-secret-4242")

    def fail(when: str) -> None:
        if when == "log":
            raise OSError("no network for sk-secret-4242\nand a second line")

    told.fails = fail
    own, events, lines = tracked(tmp_path / "run", "fake")
    for _ in range(3):
        events.record("training_step", **STEP)
    own.close()
    events.record("training_step", **STEP)
    events.close()
    (line,) = lines
    assert line == (
        f"track: fake is given up: OSError: no network for {HIDDEN} and a second line. "
        "The run goes on without it."
    )
    logged = (tmp_path / "run" / "log.jsonl").read_text()
    assert logged.count("tracker_failed") == 1 and "secret-4242" not in logged


@pytest.mark.parametrize(
    "error", [ValueError("no login"), SystemExit("no login"), ConfigError("no login")]
)
def test_a_tracker_that_does_not_open_is_given_up(
    tmp_path: Path, told: Told, error: BaseException
) -> None:
    def fail(_: str) -> None:
        raise error

    told.fails = fail
    own, events, lines = tracked(tmp_path / "run", "fake")
    events.record("training_step", **STEP)
    own.close()
    assert len(lines) == 1 and "no login" in lines[0]
    assert "fake" not in json.loads((tmp_path / "run" / "trackers.json").read_text())


def test_a_tracker_that_hangs_holds_up_nothing(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 0.05)
    go_on = threading.Event()
    told.fails = lambda _: go_on.wait(30)  # type: ignore[assignment]
    own, events, lines = tracked(tmp_path / "run", "fake")
    events.record("training_step", **STEP)
    own.close()
    assert len(lines) == 1 and "did not open within" in lines[0]
    go_on.set()


def test_trackers_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"track\.to names 'tensorbord', which accelerate"):
        check_trackers(recipe(tmp_path, track={"to": ["tensorbord"]}))
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    for name, package in (("wandb", "wandb"), ("tensorboard", r"'potstill\[track\]'")):
        with pytest.raises(MissingExtraError, match=f"{name}.*pip install {package}$"):
            check_trackers(recipe(tmp_path, track={"to": [name]}))
    with pytest.raises(ConfigError, match="stands there twice"):
        recipe(tmp_path, track={"to": ["wandb", "wandb"]})


def test_students_that_are_one_name_to_trackers_are_refused(tmp_path: Path) -> None:
    alike = {"lr=1": {}, "lr+1": {}, "answers": {"data_format": "fine_tune_answer"}}
    values = recipe(tmp_path, train={"steps": 2, "students": alike})
    check_trackers(values)  # nobody tracks it
    tracked = recipe(tmp_path, train={"steps": 2, "students": alike}, track={"to": ["tensorboard"]})
    with pytest.raises(ConfigError, match=r"'lr=1' and 'lr\+1' are one name.*'lr_1'.*Rename one"):
        check_trackers(tracked)


def test_a_missing_package_is_refused_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    path = tmp_path / "recipe.yaml"
    with Loopback() as server:
        teacher = {"model": "openai:scripted", "base_url": server.url, "api_key_env": None}
        values = recipe(tmp_path / "run", teacher=teacher, track={"to": ["mlflow"]})
        path.write_text(yaml.safe_dump(values.model_dump(mode="json")))
        for command in ("plan", "generate", "run"):
            done = CliRunner().invoke(main, [command, str(path), "--quiet"])
            assert done.exit_code == 2 and "pip install mlflow" in done.stderr
        assert not server.bodies


def test_the_config_of_a_run_holds_no_secret(tmp_path: Path) -> None:
    teacher = {
        "model": "openai:mine",
        "base_url": "https://gateway.example/v1?api-key=sk-query",
        "api_key_env": "MY_KEY",
        "body": {
            "extra_headers": {"Authorization": "Bearer sk-header"},
            "user_token": "sk-token",
            "endpoint": "https://me:sk-password@other.example/x",
            "max_completion_tokens": 5,
        },
    }
    config = tracked_recipe(recipe(tmp_path, teacher=teacher, track={"to": ["wandb"]}))
    assert "sk-" not in json.dumps(config)
    assert config["teacher.base_url"] == "https://gateway.example/v1"
    assert config["teacher.api_key_env"] == "MY_KEY"  # the name of a variable
    assert config["teacher.body.user_token"] == HIDDEN
    assert config["teacher.body.endpoint"] == "https://other.example/x"
    assert config["teacher.body.max_completion_tokens"] == 5
    assert config["budget"] == "null"
    assert all(isinstance(value, str | int | float) for value in config.values())


def test_tracking_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    plain = recipe(tmp_path / "run")
    with Run(plain) as run:
        before = run.identity.recipe_hash
    with Run(recipe(tmp_path / "run", track={"to": ["tensorboard"], "name": "other"})) as run:
        assert run.identity.recipe_hash == before
    assert "track" in yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())


@pytest.mark.parametrize(
    ("given", "track", "to"),
    [
        ([], None, None),
        ("none", None, None),
        (["tensorboard"], None, ("tensorboard",)),
        ("wandb", {"to": ["mlflow"], "name": "one"}, ("mlflow", "wandb")),
        (["mlflow"], {"to": ["mlflow"]}, ("mlflow",)),
    ],
)
def test_trackers_of_the_former_setting_are_those_of_track(
    tmp_path: Path, given: object, track: dict[str, Any] | None, to: tuple[str, ...] | None
) -> None:
    former = recipe(tmp_path, train={"steps": 2, "report_to": given}, track=track)
    assert (former.track and former.track.to) == to
    assert former.track is None or track is None or former.track.name == track.get("name")
    plain = recipe(tmp_path, train={"steps": 2})
    assert former.train == plain.train and "report_to" not in former.model_dump()["train"]


def test_the_former_settings_all_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name the trackers one by one, e.g. track: \{to: "):
        recipe(tmp_path, train={"steps": 2, "report_to": "all"})


def test_rates_and_cost_are_those_since_the_last_event_of_the_same_work() -> None:
    reader = EventReader(lambda: 77.0)
    work = {"label": "a", "total": 9, "done": 3}
    assert reader.read("stage_begins", {"stage": "generate"}) is None
    reader.read("progress", {**work, "new": 0, "tokens": 0, "usd": 0.0, "seconds": 0.0})
    reader.read("progress", {**work, "new": 10, "tokens": 300, "usd": 0.5, "seconds": 10.0})
    other = {**work, "label": "b", "new": 4, "tokens": 40, "usd": 0.25, "seconds": 2.0}
    assert reader.read("progress", other) == (
        {
            "generate/answers_per_second": 2.0,
            "generate/tokens_per_second": 20.0,
            "generate/usd": 0.75,
        },
        77,
    )
    later = {**work, "new": 40, "tokens": 600, "usd": 0.6, "seconds": 20.0}
    told = reader.read("progress", later)
    assert told is not None and told.values["generate/answers_per_second"] == 3.0
    assert reader.read("progress", {**later, "total": None}) is None  # a model is loaded
    assert reader.read("started", {"command": "run"}) is None


def test_rounds_and_scores_stand_under_names_that_every_tracker_takes() -> None:
    reader = EventReader(lambda: 0.0)
    score = {"system": "r (x)+y", "step": None, "task": "gsm8k", "split": "test"}
    told = reader.read("measured", {**score, "correct": 3, "total": 4, "low": 0.3, "high": 0.95})
    place = "test/r _x__y/gsm8k"
    assert told == ({f"{place}/accuracy": 0.75, f"{place}/low": 0.3, f"{place}/high": 0.95}, 0)
    fields = {"student": "r", "round": 2, "step": 8, "entropy": 0.25, "right": None, "start": ""}
    assert reader.read("on_policy_round", fields) == (
        {"rounds/r/round": 2.0, "rounds/r/entropy": 0.25},
        8,
    )


def test_a_whole_run_is_read_back_from_tensorboards_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    clip = Accelerator.clip_grad_norm_

    def clipped(*arguments: Any) -> Any:
        norm = clip(*arguments)
        norms.append(float(norm))
        return norm

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", clipped)
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = tmp_path / "recipe.yaml"
    values = recipe(tmp_path / "run", track={"to": ["tensorboard"], "name": "sums"})
    path.write_text(yaml.safe_dump(values.model_dump(mode="json")))
    documents = []
    for command in ("run", "evaluate"):
        done = CliRunner().invoke(main, [command, str(path), "--json"], catch_exceptions=False)
        assert done.exit_code == 0 and "given up" not in done.stderr, done.stderr
        documents.append(json.loads(done.stdout))
    scores = documents[-1]["evaluate"]["scores"]
    place = tmp_path / "run" / "tensorboard" / "sums"
    read = accumulator.EventAccumulator(str(place))
    read.Reload()
    tags = {*read.Tags()["scalars"]}
    steps = [one.step for one in read.Scalars("train/rationales/loss")]
    assert steps[-1] == len(norms) == 2
    shown_norms = [one.value for one in read.Scalars("train/rationales/grad_norm")]
    assert shown_norms == pytest.approx([norms[step - 1] for step in steps])
    assert {"train/rationales/learning_rate", "generate/seconds", "evaluate/seconds"} <= tags
    assert {"generate/answers_per_second", "generate/usd"} <= tags
    (tested,) = (one for one in scores if (one["split"], one["system"]) == ("test", "rationales"))
    for name, expected in (
        ("accuracy", tested["correct"] / tested["total"]),
        ("low", tested["low"]),
        ("high", tested["high"]),
    ):
        shown = read.Scalars(f"test/rationales/two_step_arithmetic/{name}")
        assert len(shown) == 2  # the second command went on in the same place
        assert shown[0].value == pytest.approx(expected)
    assert "dev/rationales/two_step_arithmetic/accuracy" in tags
    assert len([*place.rglob("hparams.yml")]) == 1
