"""LSTMs over the pixels of an image: Row LSTM and Diagonal BiLSTM.

A state at a pixel is made of states before it, in raster order. Row LSTM goes down the image a row at a time;
the state reads K states of the row above, so that it sees a triangle. Diagonal BiLSTM goes from corner to
corner, a diagonal at a time; the state reads those to the left and above, so that it sees everything above
and to the left; a second stream does so from the right, and moves down a row before both are added, so that
it knows nothing of its own row, and nothing in it need be masked. Together they see all that stands before a
pixel. For that the second stream reads the image too, beside its inputs: a network's first layer (mask A)
hides a pixel from its own place, and the last pixel of a row has no place to its right that could tell of it.

    i, f, o, g = sigmoid, sigmoid, sigmoid, tanh of (input weights, masked) x + (state weights) states before
    cell = f * (the cell before) + i * g        state = o * tanh(cell)

Both are one recursion along *lanes*: a step computes new states on neighbouring lanes, each from the newest
states of its own lane and of others beside it. For Row LSTM a lane is a column, for Diagonal BiLSTM a row,
whose pixels come one step later than those of the row above. Maps have their pixels in the order of the
steps, one after another: of a skewed image, without its blanks.

All that does not wait for a state is done outside the loop: the products of the inputs before it, those of
the gradients of all weights after it. So a step is one product of matrices, in either direction.

Shapes: B rows of a batch, H x W image, N = H W pixels in the order of the steps, F features, h units.

References:
    van den Oord, Kalchbrenner, Kavukcuoglu: Pixel Recurrent Neural Networks, arXiv 1601.06759: sections 3.1
    and 3.2, equation 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple, final

import keras
import numpy as np
import tensorflow as tf

from zoo.layers.masked import MaskedConv, Sight, Weights, dense, neighbours
from zoo.layers.raster import Kept, Maps, nothing_left


class Sweep(NamedTuple):
    """An order of an image's pixels, in steps.

    Attributes:
        place: int [H, W], where each pixel stands in the order.
        start: int [T], where each step begins in the order.
        lane: int [T], the first lane that each step is on; the next pixel is on the next lane.
        length: int [T], how many pixels each step has.
        lanes: how many there are, with those outside the image.
        taps: a state reads the newest state on its own lane plus each of these.
    """

    place: np.ndarray
    start: np.ndarray
    lane: np.ndarray
    length: np.ndarray
    lanes: int
    taps: tuple[int, ...]

    @property
    def sources(self) -> np.ndarray:
        """For each tap the place of the state that each pixel reads, N for none yet; int [taps, N]."""
        pixels = self.place.size
        newest = np.full(self.lanes, pixels)
        found = np.empty((len(self.taps), pixels), int)
        for start, lane, length in zip(self.start, self.lane, self.length, strict=True):
            for row, tap in zip(found, self.taps, strict=True):
                row[start : start + length] = newest[lane + tap : lane + tap + length]
            newest[lane : lane + length] = np.arange(start, start + length)
        return found


def rows(height: int, width: int, columns: int) -> Sweep:
    """Row by row; a state reads `columns` (odd) states of the row above. One lane a column."""
    side = columns // 2
    every = np.ones(height, int)
    place = np.arange(height * width).reshape(height, width)
    taps = tuple(range(-side, side + 1))
    return Sweep(place, place[:, 0], side * every, width * every, width + 2 * side, taps)


def diagonals(height: int, width: int) -> Sweep:
    """Diagonal by diagonal; a state reads those to the left and above. One lane a row, and one above."""
    step = np.arange(height + width - 1)
    first = np.maximum(0, step - width + 1)  # the first row that a diagonal crosses
    length = np.minimum(height - 1, step) - first + 1
    start = np.cumsum(length) - length
    row, column = np.indices((height, width))
    place = start[row + column] + row - first[row + column]
    return Sweep(place, start, first + 1, length, height + 1, (0, -1))


# -- maps in the order of the steps ------------------------------------------------------------------------


def rearrange(maps: tf.Tensor, index: np.ndarray, back: np.ndarray) -> tf.Tensor:
    """Takes places out of maps; a product with a permutation, of which the gradient is one too.

    Args:
        maps: [N, ...].
        index: int [N], which place of `maps` comes to each place; N: zeros.
        back: int [N], where each place of `maps` goes; N: nowhere.

    Returns:
        [N, ...].
    """

    def take(x: tf.Tensor, index: np.ndarray) -> tf.Tensor:
        if index.max() == len(index):
            x = tf.concat([x, tf.zeros_like(x[:1])], 0)
        return tf.gather(x, index)

    @tf.custom_gradient
    def taken(x: tf.Tensor):
        return take(x, index), lambda upstream: take(upstream, back)

    return taken(maps)


def skew(image: tf.Tensor, sweep: Sweep) -> tf.Tensor:
    """Maps [B, H, W, F] -> [N, B, F], in the order of the steps."""
    height, width = sweep.place.shape
    raster = tf.transpose(tf.reshape(image, (-1, height * width, image.shape[-1])), (1, 0, 2))
    place = sweep.place.reshape(-1)
    return rearrange(raster, np.argsort(place), place)


def unskew(maps: tf.Tensor, sweep: Sweep) -> tf.Tensor:
    """Maps [N, B, ...] in the order of the steps -> [B, H, W, ...]."""
    place = sweep.place.reshape(-1)
    raster = rearrange(maps, place, np.argsort(place))
    axes = (1, 0, *range(2, maps.shape.rank))
    return tf.reshape(tf.transpose(raster, axes), (-1, *sweep.place.shape, *maps.shape[2:]))


# -- the recursion -----------------------------------------------------------------------------------------


def activated(gates: tf.Tensor) -> list[tf.Tensor]:
    """[..., 4 h] -> i, f, o, g, each [..., h]."""
    i, f, o, g = tf.split(gates, 4, -1)
    return [tf.sigmoid(i), tf.sigmoid(f), tf.sigmoid(o), tf.tanh(g)]


def advance(gates: tf.Tensor, cell: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The state and the cell [..., h] after gates [..., 4 h] and a cell [..., h] (equation 3)."""
    i, f, o, g = activated(gates)
    cell = f * cell + i * g
    return o * tf.tanh(cell), cell


def states(gates: tf.Tensor, kernel: tf.Tensor, state: tf.Tensor, cell: tf.Tensor, sweep: Sweep) -> tf.Tensor:
    """The states of an LSTM at every pixel.

    Args:
        gates: float32 [N, B, 4 h], what the inputs give to i, f, o and g.
        kernel: [taps h, 4 h], what the states give.
        state, cell: [h], those of every lane before its first pixel.
        sweep: the order.

    Returns:
        [N, B, h].
    """
    pixels, units = gates.shape[0], kernel.shape[-1] // 4
    steps, taps = len(sweep.start), sweep.taps
    starts, lanes, lengths = (tf.constant(n, tf.int32) for n in (sweep.start, sweep.lane, sweep.length))
    batch = tf.shape(gates)[1]

    def array() -> tf.TensorArray:
        shape = (None, None, None)  # pixels of a step, rows of the batch, units
        return tf.TensorArray(
            tf.float32, steps, element_shape=shape, infer_shape=False, clear_after_read=False
        )

    def replaced(lane_maps: tf.Tensor, first: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        """`lane_maps` [lanes, B, h] with `new` [n, B, h] from the lane `first` on."""
        parts = [lane_maps[:first], new, lane_maps[first + tf.shape(new)[0] :]]
        return tf.ensure_shape(tf.concat(parts, 0), (sweep.lanes, None, units))

    @tf.custom_gradient
    def recursion(gates: tf.Tensor, kernel: tf.Tensor, state: tf.Tensor, cell: tf.Tensor):
        def forward(step, lane_states, lane_cells, saved):
            start, first, length = starts[step], lanes[step], lengths[step]
            read = tf.concat([lane_states[first + tap : first + tap + length] for tap in taps], -1)
            given = tf.matmul(tf.reshape(read, (-1, len(taps) * units)), kernel)
            total = gates[start : start + length] + tf.reshape(given, (length, batch, 4 * units))
            i, f, o, g = activated(total)
            before = lane_cells[first : first + length]
            new_cell = f * before + i * g
            squashed = tf.tanh(new_cell)
            new_state = o * squashed
            kept = (i, f, o, g, before, squashed, new_state)
            saved = [each.write(step, value) for each, value in zip(saved, kept, strict=True)]
            return (
                step + 1,
                replaced(lane_states, first, new_state),
                replaced(lane_cells, first, new_cell),
                saved,
            )

        everywhere = (sweep.lanes, batch, units)
        begin = (0, tf.broadcast_to(state, everywhere), tf.broadcast_to(cell, everywhere))
        saved = [array() for _ in range(7)]
        *_, saved = tf.while_loop(lambda step, *_: step < steps, forward, (*begin, saved))
        output = tf.ensure_shape(saved.pop().concat(), (pixels, None, units))

        def gradient(upstream: tf.Tensor):
            def backward(step, state_gradients, cell_gradients, gate_gradients):
                start, first, length = starts[step], lanes[step], lengths[step]
                i, f, o, g, before, squashed = (each.read(step) for each in saved)
                to_state = upstream[start : start + length] + state_gradients[first : first + length]
                to_cell = cell_gradients[first : first + length]
                to_cell += tf.raw_ops.TanhGrad(y=squashed, dy=to_state * o)
                to_gates = tf.concat(
                    [
                        tf.raw_ops.SigmoidGrad(y=i, dy=to_cell * g),
                        tf.raw_ops.SigmoidGrad(y=f, dy=to_cell * before),
                        tf.raw_ops.SigmoidGrad(y=o, dy=to_state * squashed),
                        tf.raw_ops.TanhGrad(y=g, dy=to_cell * i),
                    ],
                    -1,
                )
                to_read = tf.matmul(tf.reshape(to_gates, (-1, 4 * units)), kernel, transpose_b=True)
                to_read = tf.split(tf.reshape(to_read, (length, batch, -1)), len(taps), -1)
                state_gradients = replaced(state_gradients, first, tf.zeros_like(to_state))
                # The lanes that the step has read.
                low, high = first + min(taps), first + max(taps)
                shares = [
                    tf.pad(share, [(tap - min(taps), max(taps) - tap), (0, 0), (0, 0)])
                    for share, tap in zip(to_read, taps, strict=True)
                ]
                sums = tf.add_n([state_gradients[low : high + length], *shares])
                return (
                    step - 1,
                    replaced(state_gradients, low, sums),
                    replaced(cell_gradients, first, to_cell * f),
                    gate_gradients.write(step, to_gates),
                )

            nothing = tf.zeros(everywhere)
            _, state_gradients, cell_gradients, gate_gradients = tf.while_loop(
                lambda step, *_: step >= 0, backward, (steps - 1, nothing, nothing, array())
            )
            gate_gradients = tf.ensure_shape(gate_gradients.concat(), (pixels, None, 4 * units))
            every = tf.concat([output, tf.broadcast_to(state, (1, batch, units))], 0)
            read = tf.concat([tf.gather(every, source) for source in sweep.sources], -1)
            kernel_gradient = tf.matmul(
                tf.reshape(read, (-1, len(taps) * units)),
                tf.reshape(gate_gradients, (-1, 4 * units)),
                transpose_a=True,
            )
            return (
                gate_gradients,
                kernel_gradient,
                tf.reduce_sum(state_gradients, (0, 1)),
                tf.reduce_sum(cell_gradients, (0, 1)),
            )

        return output, gradient

    return recursion(gates, kernel, state, cell)


class StreamWeights(NamedTuple):
    """A stream's weights, for loops over rows and pixels.

    Attributes:
        inputs: of the masked convolution that reads the inputs.
        kernel: [taps h, 4 h], of the states that are read.
        state, cell: [h], before the first pixel.
    """

    inputs: Weights
    kernel: tf.Tensor
    state: tf.Tensor
    cell: tf.Tensor


@final
class Stream(keras.layers.Layer):
    """One LSTM in one order; the recursion is in float32."""

    def __init__(
        self,
        inputs: int,
        units: int,
        sweep: Sweep,
        *,
        columns: int = 1,
        sight: Sight = "B",
        channels: int = 1,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            inputs: F, the features that are read.
            units: h.
            sweep: the order.
            columns: of the convolution that reads the inputs, odd.
            sight: of that convolution.
            channels: C, of the image.
        """
        super().__init__(dtype="float32", **kwargs)
        self.sweep = sweep
        self.inputs = MaskedConv(
            inputs,
            4 * units,
            columns=columns,
            sight=sight,
            channels=channels,
            copies=4,
            dtype="float32",
        )
        # A cell forgets little at first.
        self.inputs.bias.assign(np.repeat(np.array([0.0, 1.0, 0.0, 0.0], np.float32), units))
        taps = len(sweep.taps)
        self.kernel = self.add_weight(
            shape=(taps * units, 4 * units), initializer="glorot_uniform", name="kernel"
        )
        self.state = self.add_weight(shape=(units,), initializer="zeros", name="state")
        self.cell = self.add_weight(shape=(units,), initializer="zeros", name="cell")

    def build(self, input_shape: Any = None) -> None:
        self.inputs.build()
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[N, B, F] -> [N, B, h]."""
        height, width = self.sweep.place.shape
        if self.inputs.side:
            wide = self.inputs.along(tf.reshape(x, (height, width, -1, x.shape[-1])))
            gates = tf.reshape(wide, (height * width, -1, wide.shape[-1]))
        else:
            gates = self.inputs(x)
        kernel, state, cell = (tf.convert_to_tensor(each) for each in (self.kernel, self.state, self.cell))
        return states(gates, kernel, state, cell, self.sweep)

    def weights_in_rows(self) -> StreamWeights:
        """The weights as they are now."""
        values = (tf.convert_to_tensor(each.value) for each in (self.kernel, self.state, self.cell))
        return StreamWeights(self.inputs.weights_in_rows(), *values)


# -- the two layers ----------------------------------------------------------------------------------------


@final
class RowLSTM(keras.layers.Layer):
    """Row LSTM: inputs by a masked K x 1 convolution, states by a free one of the row above (section 3.1)."""

    def __init__(
        self,
        inputs: int,
        units: int,
        height: int,
        width: int,
        *,
        columns: int = 3,
        channels: int = 1,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            inputs: F, the features that are read.
            units: h.
            height, width: H and W, of the image.
            columns: K, odd, of both convolutions.
            channels: C, of the image.
        """
        super().__init__(dtype="float32", **kwargs)
        self.sweep = rows(height, width, columns)
        self.stream = Stream(inputs, units, self.sweep, columns=columns, channels=channels)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[N, B, F] -> [N, B, h]."""
        return self.stream(x)


class RowByPixel:
    """`RowLSTM` in rows and pixels.

    The methods are those of `PixelByPixel`, from features to features; `next_row` is given the row of the
    centred image [W, B, C] too.
    """

    def __init__(self, layer: RowLSTM) -> None:
        self.weights = layer.stream.weights_in_rows()
        self.side = layer.stream.inputs.side
        self.width = layer.sweep.place.shape[1]
        units = self.weights.state.shape[0]
        inputs = self.weights.inputs.own.shape[0] // (self.side + 1)
        self.kept = [Kept(inputs, self.side), Kept(units, 0), Kept(units, 0)]  # inputs, states, cells

    def first_row(self, rows: tf.Tensor) -> tuple[Any, Maps]:
        shape = (self.width, rows, self.weights.state.shape[0])
        return (), self.above(*(tf.broadcast_to(x, shape) for x in (self.weights.state, self.weights.cell)))

    def next_row(self, memory: Any, maps: Maps, image: tf.Tensor) -> tuple[Any, Maps]:
        return memory, self.above(*maps[1:])

    def above(self, states: tf.Tensor, cells: tf.Tensor) -> Maps:
        read = neighbours(states, self.side, self.side, self.weights.state)
        return [dense(read, self.weights.kernel) + self.weights.inputs.bias, cells]

    def edge(self, rows: tf.Tensor) -> Maps:
        return nothing_left(self.kept, rows)

    def pixel(self, above: Maps, left: Maps, x: tf.Tensor) -> tuple[tf.Tensor, Maps]:
        gates, cell = above
        state, cell = advance(gates + self.weights.inputs.of_pixel(left[0], x), cell)
        return state, [x, state, cell]


@final
class DiagonalBiLSTM(keras.layers.Layer):
    """Diagonal BiLSTM: inputs by a masked 1x1 convolution, states from the left and above (section 3.2)."""

    def __init__(
        self, inputs: int, units: int, height: int, width: int, *, channels: int = 1, **kwargs: Any
    ) -> None:
        """
        Args:
            inputs: F, the features that are read.
            units: h.
            height, width: H and W, of the image.
            channels: C, of the image.
        """
        super().__init__(dtype="float32", **kwargs)
        self.sweep = diagonals(height, width)
        self.from_left = Stream(inputs, units, self.sweep, channels=channels)
        self.from_right = Stream(inputs + channels, units, self.sweep, sight="row")
        place = self.sweep.place
        order = np.argsort(place.reshape(-1))
        none = np.full((1, width), place.size)
        # Where each pixel's mirror image stands; and that of the pixel above, and of the pixel below.
        self.mirrored, self.up, self.down = (
            each.reshape(-1)[order]
            for each in (
                place[:, ::-1],
                np.concatenate([none, place[:-1, ::-1]]),
                np.concatenate([place[1:, ::-1], none]),
            )
        )

    def call(self, x: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        """[N, B, F], and the centred image [N, B, C] -> [N, B, h]."""
        seen = tf.concat([x, image], -1)
        right = self.from_right(rearrange(seen, self.mirrored, self.mirrored))
        return self.from_left(x) + rearrange(right, self.up, self.down)


class DiagonalByPixel:
    """`DiagonalBiLSTM` in rows and pixels, like `RowByPixel`.

    When a row is finished, the stream from the right runs over it, from its end to its beginning.
    """

    def __init__(self, layer: DiagonalBiLSTM) -> None:
        self.left, self.right = layer.from_left.weights_in_rows(), layer.from_right.weights_in_rows()
        self.width, self.units = layer.sweep.place.shape[1], self.left.state.shape[0]
        inputs = self.left.inputs.own.shape[0]
        self.kept = [Kept(inputs, 0), Kept(self.units, 1), Kept(self.units, 1)]  # inputs, states, cells
        self.left_beside, self.left_above = tf.split(self.left.kernel, 2)
        self.right_beside, self.right_above = tf.split(self.right.kernel, 2)

    def first_row(self, rows: tf.Tensor) -> tuple[Any, Maps]:
        shape = (self.width, rows, self.units)
        above, right = (tf.broadcast_to(each.state, shape) for each in (self.left, self.right))
        return right, [self.gates_from_above(above), tf.zeros(shape)]

    def next_row(self, memory: Any, maps: Maps, image: tf.Tensor) -> tuple[Any, Maps]:
        inputs, states, _ = maps
        seen = tf.concat([inputs, image], -1)
        right = self.run_left(self.right.inputs.at(seen) + dense(memory, self.right_above))
        return right, [self.gates_from_above(states), right]

    def gates_from_above(self, states: tf.Tensor) -> tf.Tensor:
        """What the states of the row above [W, B, h] give to the stream from the left: [W, B, 4 h]."""
        return dense(states, self.left_above) + self.left.inputs.bias

    def run_left(self, gates: tf.Tensor) -> tf.Tensor:
        """The states [W, B, h] of the stream from the right, given the rest of its gates [W, B, 4 h]."""
        shape = (tf.shape(gates)[1], self.units)

        def body(column, state, cell, found):
            state, cell = advance(gates[column] + tf.matmul(state, self.right_beside), cell)
            return column - 1, state, cell, found.write(column, state)

        found = tf.TensorArray(tf.float32, self.width, element_shape=(None, self.units))
        begin = (tf.broadcast_to(each, shape) for each in (self.right.state, self.right.cell))
        start = (self.width - 1, *begin, found)
        *_, found = tf.while_loop(lambda column, *_: column >= 0, body, start)
        return found.stack()

    def edge(self, rows: tf.Tensor) -> Maps:
        left = [tf.broadcast_to(each, (rows, self.units)) for each in (self.left.state, self.left.cell)]
        return [tf.zeros((rows, 0)), *left]

    def pixel(self, above: Maps, left: Maps, x: tf.Tensor) -> tuple[tf.Tensor, Maps]:
        gates, right = above
        _, state, cell = left
        gates += tf.matmul(x, self.left.inputs.own) + tf.matmul(state, self.left_beside)
        state, cell = advance(gates, cell)
        return state + right, [x, state, cell]
