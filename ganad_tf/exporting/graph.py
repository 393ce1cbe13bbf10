"""The graph of an exported model: sound → anomaly score and decision.

Features, standardisation, network, scorer and threshold are the functions that scored the test clips, traced again, so
that the served model can't differ from the measured one. The graph itself refuses invalid input, wherever it runs, with
a message that begins with the input's name.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.audio import LOUDEST
from ganad_tf.config import Config
from ganad_tf.exporting import machine_ids
from ganad_tf.exporting.audio_format_signature import audio_format_function
from ganad_tf.exporting.checks import LengthLimit, expect, expect_finite, require_clips
from ganad_tf.exporting.deciding import Decider, Tensors, finite
from ganad_tf.exporting.explaining import explain
from ganad_tf.exporting.guards import replace_unusable_scores
from ganad_tf.features import ClipEncoder, feature_layer, fewest_samples, windows_of
from ganad_tf.models import Encoder
from ganad_tf.models.frozen import FrozenNetwork
from ganad_tf.recording_check.bounds import Bounds
from ganad_tf.recording_check.limits import RecordingLimits
from ganad_tf.recording_check.verdict import refuse_not_judged
from ganad_tf.results import ensemble
from ganad_tf.results.score_files import ClipScore
from ganad_tf.scoring import clip_scores, clip_values
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.audio_format import AudioFormat
from ganad_tf.serving.models.signature import FALSE_ALARMS

Precision = Literal["float64", "float32"]
FARTHEST_DB = 300.0  # beyond silence, -157 dB, and full scale
PARALLEL_CLIPS = 8  # clips of a batch that are processed concurrently

_function = partial(tf.function, autograph=False)  # there is no Python control flow to convert, which takes seconds


@dataclass(frozen=True)
class Member:
    """A trained detector with a fitted scorer, and the recording conditions outside of which it judges no clip.

    An ensemble has several members.
    """

    model: TrainedDetector
    fitted: FittedScorer
    limits: RecordingLimits | None = None


class SoundScorer(tf.Module):
    """Functions from sound to anomaly scores; each clip is scored independently of the others in its batch.

    Args:
      config: Audio and feature settings, and the ensemble's formula.
      members: One detector, or those of an ensemble; all with the same features.
      threshold: Clips with a higher score are anomalies.
      calibration: Scores of normal clips that the members have not seen, for p-values; empty for none.
      precision: Precision of FFT and ensemble formula; float32 only for runtimes without float64.
      longest_samples: Maximum length of a clip, checked before memory for it is allocated; None for no limit.

    Attributes:
      machine_ids: Machine IDs of which clips can be scored; none if no member needs to know.
      networks: Frozen networks, which own the variables that the functions use.
      fewest_samples: Minimum length of a clip.
      fewest_frames: Minimum length of a log-mel.
      functions: By signature name; each takes one named tensor and returns named tensors, all `[batch, ...]`:
        `score_waveform` `[batch, samples]` float32, nominally in [-1, 1], at the configuration's sample rate;
        `score_wav` `[batch]` strings, 16-bit PCM WAV files, possibly of different lengths;
        `score_frames` `[batch, frames, mels]` in dB; all three to `anomaly_score` float32, `is_anomaly` bool,
        `threshold` float32 and, with calibration scores, `p_value` float32.
        `decide_waveform`, `decide_wav`, `decide_frames` the same, only with calibration scores: they also take
        `false_alarms` `[batch]` float32, the rate that each clip's threshold is set by.
        `explain` `[batch, samples]` to the outputs of `explain_clip`.
        If a member takes machine IDs, all of these also take `machine_id`, `[batch]` strings.
        `audio_format` `[batch]` of any numbers to the audio settings, for clients.
        Where spectra are not in decibels, as with `feature.encoder`, there are none of frames, and no `explain`.
    """

    def __init__(
        self,
        config: Config,
        members: Sequence[Member],
        threshold: float,
        *,
        calibration: Sequence[ClipScore] = (),
        precision: Precision = "float64",
        longest_samples: int | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.members = tuple(members)
        self.precision = precision
        normal = [clip.score for clip in calibration]
        self._decider = Decider(threshold, normal, precision, [clip.recording for clip in calibration])
        limits = recording_limits(members)
        self._bounds = Bounds.of(limits) if limits else None
        self.machine_ids = known_machine_ids(members)
        feature = config.feature
        self._length_limit = LengthLimit(longest_samples, config.audio.sample_rate, feature.hop_length)
        self.fewest_samples, self.fewest_frames = shortest_clip(config, members)
        clip = tf.TensorSpec([None, feature.bands], tf.float32)
        self.networks = frozen_networks(config, members)
        self._weights = [used_weights(member, clip) for member in self.members]
        # All signatures share one copy of features and networks.
        self._layer = feature_layer(config.audio, feature, fft=precision)
        self._features = _function(self._layer.in_pieces, [tf.TensorSpec([None], tf.float32)])
        machine = tf.TensorSpec([], tf.string)
        self._score_clip = _function(self.score_clip, [clip, machine])
        waveform = tf.TensorSpec([None, None], tf.float32, "waveform")
        wav_bytes = tf.TensorSpec([None], tf.string, "wav_bytes")
        sound = AudioFormat(config.audio, self.fewest_samples, longest_samples)
        self.functions = {
            **self._scoring_functions("waveform", self._scores_of_waveforms, waveform),
            **self._scoring_functions("wav", self._scores_of_files, wav_bytes),
            audio_format.SIGNATURE: audio_format_function(sound),
        }
        if feature.is_in_decibels:  # others are no log-mels
            log_mel = tf.TensorSpec([None, None, feature.bands], tf.float32, "log_mel")
            self.functions |= self._scoring_functions("frames", self._scores_of_log_mels, log_mel)
            self.functions["explain"] = _function(self._explain, [waveform, *self._machine_input()])

    def score_clip(self, log_mel: tf.Tensor, machine_id: tf.Tensor, *, in_pieces: bool = True) -> tf.Tensor:
        """Anomaly score of one clip, float32.

        Args:
          log_mel: `[frames, mels]` in dB.
          machine_id: The clip's machine, one of `machine_ids`; any string if there are none.
          in_pieces: Whether the memory of long clips is bounded.
        """
        scores = []
        for member, weights in zip(self.members, self._weights, strict=True):
            with keras.StatelessScope(weights):
                scores.append(member_score(member, log_mel, machine_id, in_pieces=in_pieces))
        settings = self.config.ensemble
        if not settings.members:
            return scores[0]
        normal = normal_scores(self.members, self.config, self.precision)
        return combined(scores, normal, settings.combine, settings.shares(), self.precision)

    def fixed_size_function(self, batch: int, samples: int) -> tf.types.experimental.ConcreteFunction:
        """`score_waveform` for a fixed batch and length, without loops and with operations that small boards have.

        Unusable input scores as an anomaly instead of raising an error; see `guards.replace_unusable_scores`.
        """

        def score_waveform(waveform: tf.Tensor) -> Tensors:
            log_mels = [features(clip[tf.newaxis])[0] for clip in tf.unstack(waveform)]
            scores = tf.stack([self.score_clip(log_mel, tf.constant(""), in_pieces=False) for log_mel in log_mels])
            scores = replace_unusable_scores(waveform, scores)
            return self._decider.decide(scores)

        features = _function(self._layer, [tf.TensorSpec([1, None], tf.float32)])
        spec = tf.TensorSpec([batch, samples], tf.float32, "waveform")
        return _function(score_waveform, [spec]).get_concrete_function()

    def explain_clip(self, log_mel: tf.Tensor, machine_id: tf.Tensor) -> Tensors:
        """Explains one clip, `score_clip`'s arguments, by the first member.

        Returns:
          `log_mel` `[frames, mels]` in dB, `anomaly_score`, and the outputs of `explaining.explain`.
        """
        member = self.members[0]
        with keras.StatelessScope(self._weights[0]):
            machine = machine_ids.number_of(machine_id, member.model.detector.machine_ids)
            explained = explain(member.model, member.fitted, log_mel, machine)
        return {"log_mel": log_mel, **explained, "anomaly_score": self._score_clip(log_mel, machine_id)}

    def _machine_input(self) -> list[tf.TensorSpec]:
        """The input that says which machine each clip is of; none if no member needs it."""
        return machine_ids.input_of(self.machine_ids)

    def _machines_of(self, clips: tf.Tensor, *given: tf.Tensor) -> tf.Tensor:
        """The machine of each clip, `[batch]` strings, from that input; refuses unknown ones."""
        return machine_ids.of_clips(clips, self.machine_ids, *given)

    def _decide(self, scores: tf.Tensor, machines: tf.Tensor) -> Tensors:  # noqa: ARG002 - one threshold for all
        """Decisions about scores `[batch]`, by the threshold of the export."""
        return self._decider.decide(scores)

    def _decide_at(self, scores: tf.Tensor, false_alarms: tf.Tensor, machines: tf.Tensor) -> Tensors:  # noqa: ARG002
        """Decisions about scores `[batch]`, by one false-alarm rate per clip."""
        return self._decider.decide_at(scores, false_alarms)

    def _scoring_functions(
        self, kind: str, scores_of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], spec: tf.TensorSpec
    ) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The signatures `score_<kind>` and, with calibration scores, `decide_<kind>`."""

        def score(clips: tf.Tensor, *given: tf.Tensor) -> Tensors:
            machines = self._machines_of(clips, *given)
            return self._decide(finite(spec.name, scores_of(clips, machines)), machines)

        def decide(clips: tf.Tensor, false_alarms: tf.Tensor, *given: tf.Tensor) -> Tensors:
            n_clips, n_rates = tf.shape(clips)[0], tf.shape(false_alarms)[0]
            sentence = (f"{FALSE_ALARMS}: expected one rate per clip,", n_clips, "received", n_rates)
            with tf.control_dependencies([expect(tf.equal(n_clips, n_rates), *sentence)]):
                false_alarms = tf.identity(false_alarms)
            machines = self._machines_of(clips, *given)
            return self._decide_at(finite(spec.name, scores_of(clips, machines)), false_alarms, machines)

        rates = tf.TensorSpec([None], tf.float32, FALSE_ALARMS)
        machine = self._machine_input()
        functions = {f"score_{kind}": _function(score, [spec, *machine])}
        if self._decider.has_p_values:
            functions[f"decide_{kind}"] = _function(decide, [spec, rates, *machine])
        return functions

    def _scores_of_waveforms(self, waveform: tf.Tensor, machines: tf.Tensor) -> tf.Tensor:
        def score_waveform(clip: tf.Tensor, machine_id: tf.Tensor) -> tf.Tensor:
            return self._score_clip(self._log_mel("waveform", clip, machine_id), machine_id)

        return _map(score_waveform, self._check_waveform(waveform), machines)

    def _scores_of_files(self, wav_bytes: tf.Tensor, machines: tf.Tensor) -> tf.Tensor:
        def score_file(file: tf.Tensor, machine_id: tf.Tensor) -> tf.Tensor:
            with tf.control_dependencies(self._length_limit.check_file("wav_bytes", file)):
                decoded = self._decode(tf.identity(file))
            return self._score_clip(self._log_mel("wav_bytes", decoded, machine_id), machine_id)

        return _map(score_file, require_clips("wav_bytes", wav_bytes), machines)

    def _scores_of_log_mels(self, log_mel: tf.Tensor, machines: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies(self._length_limit.check_spectra("log_mel", log_mel)):
            log_mel = require_clips("log_mel", log_mel)
        n_frames = tf.shape(log_mel)[1]
        enough = n_frames >= self.fewest_frames
        farthest = tf.reduce_max(tf.abs(log_mel))
        checks = [
            expect(enough, "log_mel: expected at least", self.fewest_frames, "spectra, received", n_frames),
            expect_finite("log_mel", log_mel),
            expect(farthest <= FARTHEST_DB, "log_mel: expected decibels, received", farthest),
        ]
        with tf.control_dependencies(checks):
            log_mel = tf.identity(log_mel)
        return _map(self._score_clip, log_mel, machines)

    def _explain(self, waveform: tf.Tensor, *given: tf.Tensor) -> Tensors:
        def explain_waveform(clip: tf.Tensor, machine_id: tf.Tensor) -> Tensors:
            return self.explain_clip(self._log_mel("waveform", clip, machine_id), machine_id)

        names = ("log_mel", "reconstruction", "window_scores", "band_residual", "anomaly_score")
        dtypes = dict.fromkeys(names, tf.float32)
        machines = self._machines_of(waveform, *given)
        return _map(explain_waveform, self._check_waveform(waveform), machines, dtypes)

    def _check_waveform(self, waveform: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies(self._length_limit.check_samples("waveform", tf.shape(waveform)[1])):
            waveform = require_clips("waveform", waveform)
        with tf.control_dependencies([expect_finite("waveform", waveform)]):
            return tf.identity(waveform)

    def _log_mel(self, name: str, waveform: tf.Tensor, machine_id: tf.Tensor) -> tf.Tensor:
        """Log-mel `[frames, mels]` in dB of one clip `[samples]`."""
        n_samples = tf.shape(waveform)[0]
        loudest = tf.maximum(tf.reduce_max(waveform), -tf.reduce_min(waveform))  # tf.abs would copy the waveform
        enough, usable = n_samples >= self.fewest_samples, loudest <= LOUDEST
        checks = [
            expect(enough, f"{name}: expected at least", self.fewest_samples, "samples, received", n_samples),
            expect(usable, f"{name}: expected samples from -1 to 1, received up to", loudest),
            *self._length_limit.check_samples(name, n_samples),
        ]
        with tf.control_dependencies(checks):
            log_mel = self._features(waveform)
        bounds = self._bounds_of(machine_id)
        return log_mel if bounds is None else refuse_not_judged(name, waveform, log_mel, bounds)

    def _bounds_of(self, machine_id: tf.Tensor) -> Bounds | None:  # noqa: ARG002 - the same for all
        """Bounds of the recording conditions of a clip, which is of that machine; None for all conditions."""
        return self._bounds

    def _decode(self, file: tf.Tensor) -> tf.Tensor:
        """Decodes a WAV file to one channel `[samples]`, as `audio.read` does."""
        expected_rate, channel = self.config.audio.sample_rate, self.config.audio.channel
        samples, rate = tf.audio.decode_wav(file)  # [samples, channels]
        sentence = ("wav_bytes: expected a sample rate of", expected_rate, "Hz, received", rate)
        checks = [expect(tf.equal(rate, expected_rate), *sentence)]
        n_channels = tf.shape(samples)[1]
        if channel == "all":
            checks.append(expect(tf.equal(n_channels, 1), "wav_bytes: expected one channel, received", n_channels))
            channel = 0
        if channel != "mean":
            sentence = ("wav_bytes: expected a channel", channel, "counted from 0, received channels:", n_channels)
            checks.append(expect(n_channels > channel, *sentence))
        with tf.control_dependencies(checks):
            return tf.reduce_mean(samples, axis=1) if channel == "mean" else samples[:, channel]


def recording_limits(members: Sequence[Member]) -> RecordingLimits | None:
    """Recording conditions outside of which a clip is not judged; None for all conditions."""
    return next((member.limits for member in members if member.limits), None)  # all were trained on the same clips


def frozen_networks(config: Config, members: Sequence[Member]) -> list[FrozenNetwork]:
    """Networks from files of the user's, whose weights are not those of a detector."""
    holders: list[Any] = [feature_layer(config.audio, config.feature), *(member.model.detector for member in members)]
    return [holder.network for holder in holders if isinstance(holder, ClipEncoder | Encoder)]


def shortest_clip(config: Config, members: Sequence[Member]) -> tuple[int, int]:
    """Number of samples and of spectra of the shortest clip that holds a window of every member."""
    frames = max(member.model.frames for member in members)
    return fewest_samples(dataclasses.replace(config.feature, frames=frames)), frames


def known_machine_ids(members: Sequence[Member]) -> tuple[str, ...]:
    """Machine IDs that all members know which need one; as `machine_ids.known_to_all`."""
    return machine_ids.known_to_all([clip_values.known_machine_ids(member.model, member.fitted) for member in members])


def member_score(member: Member, log_mel: tf.Tensor, machine_id: tf.Tensor, *, in_pieces: bool) -> tf.Tensor:
    """Score of one clip by a member, float32; arguments as of `SoundScorer.score_clip`."""
    at_once = clip_scores.windows_at_once(member.model.detector) if in_pieces else None
    function = clip_values.scorer_function(member.model, member.fitted)
    score = clip_values.apply_to_clip(member.model, [function], log_mel, at_once=at_once)[0]
    return tf.gather(score, machine_ids.number_of(machine_id, function.machine_ids)) if function.machine_ids else score


def used_weights(
    member: Member, clip: tf.TensorSpec, *, explains: bool = True
) -> list[tuple[keras.Variable, np.ndarray]]:
    """Weights used by scoring and, if it `explains`, explaining.

    As constants of the graph they let TensorFlow merge layers.
    """

    def all_outputs(log_mel: tf.Tensor) -> list[tf.Tensor]:
        model, detector = member.model, member.model.detector
        if not explains:
            return [member_score(member, log_mel, tf.constant(""), in_pieces=False)]
        windows = windows_of(log_mel, model.frames, model.normalizer)
        windows = tf.ensure_shape(windows, [None, detector.input_dim])
        return [
            member_score(member, log_mel, tf.constant(""), in_pieces=False),
            detector.anomaly_score(windows),
            detector.reconstruct(windows),
        ]

    probe = _function(all_outputs, [clip]).get_concrete_function()
    used = {variable.ref() for variable in probe.variables}
    weights = [variable for variable in member.model.detector.variables if variable.value.ref() in used]
    return [(variable, variable.numpy()) for variable in weights]


def normal_scores(members: Sequence[Member], config: Config, precision: Precision = "float64") -> list[ensemble.Normal]:
    """The scores that a member's scores are compared with in an ensemble, of each member."""
    by_calibration = ensemble.combines_by_calibration(config)
    normal = [member.fitted.calibration_scores if by_calibration else member.fitted.train_scores for member in members]
    # Sorted, as ever: mean and deviation of the same scores in another order differ in the last bit.
    of_members = [ensemble.Normal.of(np.sort([clip.score for clip in scores])) for scores in normal]
    return [of._replace(ordered=of.ordered.astype(precision)) for of in of_members]


def combined(
    scores: Sequence[tf.Tensor],
    normal: Sequence[ensemble.Normal],
    how: str,
    shares: Sequence[Any] | None,
    precision: Precision = "float64",
) -> tf.Tensor:
    """`ensemble.combine_by` of one clip, in the graph; float32."""

    def share_below(ordered: Any, value: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.cast(ordered < value, precision))

    in_graph = ensemble.Operations(
        share_below,
        tf.maximum,
        tf.math.log,
        tf.exp,
        mean=partial(tf.reduce_mean, axis=0),
        max=partial(tf.reduce_max, axis=0),
    )
    values = [tf.cast(score, precision) for score in scores]
    return tf.cast(ensemble.combine_by(values, normal, how, in_graph, shares=shares), tf.float32)


def _map(
    function: Callable[[tf.Tensor, tf.Tensor], Any],
    clips: tf.Tensor,
    machines: tf.Tensor,
    dtypes: object = tf.float32,
) -> Any:
    """Applies a function to each clip and its machine ID; results `[batch, ...]`."""
    # Maps over indices, because mapping over clips copies each of them, and an hour takes 230 MB.
    indices = tf.range(tf.shape(clips)[0])
    return tf.map_fn(
        lambda index: function(clips[index], machines[index]),
        indices,
        fn_output_signature=dtypes,
        parallel_iterations=PARALLEL_CLIPS,
    )
