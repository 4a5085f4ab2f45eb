// Signal processing: discrete Fourier transforms as matrix products, and the matrix of mel filters.
#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "graph/onnx/importer.hpp"
#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

// A matrix of more elements is no substitute for a fast transform.
constexpr std::int64_t kLargestMatrix = std::int64_t{1} << 24;

/// scale * cos or sin of 2 pi r c / length.
ValueId wave(OpContext& c, DType type, std::int64_t rows, std::int64_t columns, std::int64_t length, double scale,
             bool sine) {
  if (rows * columns > kLargestMatrix)
    OpContext::unsupported(fmt::format("a transform of {} to {} elements", rows, columns));
  c.importer().charge(rows * columns);
  Tensor matrix(DType::f64, Shape{rows, columns});
  auto values = matrix.mutable_values<double>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < columns; ++k) {
      const double phase = 2 * std::numbers::pi * static_cast<double>(r * k % length) / static_cast<double>(length);
      values[static_cast<std::size_t>(r * columns + k)] = scale * (sine ? std::sin(phase) : std::cos(phase));
    }
  return c.b.constant(matrix.cast(type));
}

/// The last axis of `x` cut or filled with zeros to `length`.
ValueId fitted(GraphBuilder& b, ValueId x, std::int64_t length) {
  const Shape shape = b.shape(x);
  Dims zero(static_cast<std::size_t>(shape.rank()), 0), high = zero;
  high.back() = length - shape[shape.rank() - 1];
  return high.back() == 0 ? x : b.pad(x, b.full(b.dtype(x), Shape{}, 0), zero, high, zero);
}

struct Complex {
  ValueId real = kNone, imaginary = kNone;  ///< the second is kNone for a real signal
};

Complex parts_of(GraphBuilder& b, ValueId x) {
  const Shape shape = b.shape(x);
  const int last = shape.rank() - 1;
  if (shape[last] != 1 && shape[last] != 2)
    OpContext::unsupported(fmt::format("the last dimension is {}; 1 (real) or 2 (complex) are allowed", shape[last]));
  Dims extents = shape.extents();
  extents.pop_back();
  const auto part = [&](std::int64_t i) {
    Dims start(static_cast<std::size_t>(last) + 1, 0), limit = shape.extents();
    start.back() = i, limit.back() = i + 1;
    return b.reshape(b.slice(x, start, limit, Dims(start.size(), 1)), Shape(extents));
  };
  return {part(0), shape[last] == 2 ? part(1) : kNone};
}

/// The transform along the last axis, which has `length` elements: `bins` of its results.
Complex transformed(OpContext& c, const Complex& x, std::int64_t length, std::int64_t bins, bool inverse) {
  GraphBuilder& b = c.b;
  const DType type = b.dtype(x.real);
  const std::int64_t given = b.shape(x.real)[b.shape(x.real).rank() - 1];
  const double scale = inverse ? 1 / static_cast<double>(length) : 1;
  const ValueId cosine = wave(c, type, given, bins, length, scale, false);
  const ValueId sine = wave(c, type, given, bins, length, inverse ? scale : -scale, true);
  Complex y{b.matmul(x.real, cosine), b.matmul(x.real, sine)};
  if (x.imaginary == kNone) return y;
  y.real = b.sub(y.real, b.matmul(x.imaginary, sine));
  y.imaginary = b.add(y.imaginary, b.matmul(x.imaginary, cosine));
  return y;
}

ValueId interleaved(GraphBuilder& b, const Complex& x) {
  Dims extents = b.shape(x.real).extents();
  extents.push_back(1);
  const ValueId real = b.reshape(x.real, Shape(extents));
  if (x.imaginary == kNone) return real;
  return b.concat({real, b.reshape(x.imaginary, Shape(extents))}, static_cast<int>(extents.size()) - 1);
}

/// From the bins that a real signal of `length` needs to all of them: the others mirror them, conjugated.
Complex mirrored(GraphBuilder& b, Complex x, std::int64_t length) {
  const std::int64_t half = length / 2 + 1;
  x.real = fitted(b, x.real, half);
  x.imaginary = x.imaginary == kNone ? b.like(x.real, 0) : fitted(b, x.imaginary, half);
  const Shape shape = b.shape(x.real);
  Dims start(static_cast<std::size_t>(shape.rank()), 0), limit = shape.extents();
  start.back() = 1, limit.back() = (length + 1) / 2;
  const auto turned = [&](ValueId v) {
    return b.one(Op::reverse, {b.slice(v, start, limit, Dims(start.size(), 1))}, {{"dims", Dims{shape.rank() - 1}}});
  };
  if (limit.back() <= start.back()) return x;
  const int last = shape.rank() - 1;
  return {b.concat({x.real, turned(x.real)}, last),
          b.concat({x.imaginary, b.unary(Op::neg, turned(x.imaginary))}, last)};
}

/// Moves an axis behind all others, or back.
ValueId moved(GraphBuilder& b, ValueId x, int axis, bool back) {
  const int rank = b.shape(x).rank();
  Dims order;
  for (int d = 0; d < rank; ++d)
    if (d != axis) order.push_back(d);
  order.push_back(axis);
  if (!back) return b.transpose(x, order);
  Dims inverse(order.size());
  for (std::size_t d = 0; d < order.size(); ++d)
    inverse[static_cast<std::size_t>(order[d])] = static_cast<std::int64_t>(d);
  return b.transpose(x, inverse);
}

Values import_dft(OpContext& c) {
  GraphBuilder& b = c.b;
  const int rank = c.rank(0);
  const bool inverse = c.integer("inverse", 0) != 0, onesided = c.integer("onesided", 0) != 0;
  const std::int64_t axis_given = c.version() < 20 ? c.integer("axis", 1)
                                  : c.has(2)       ? c.constant_int(2, "the axis")
                                                   : -2;
  const int axis = normalize_axis(axis_given, rank);
  if (rank < 2 || axis == rank - 1) OpContext::unsupported("the axis must be another one than the last");
  const std::int64_t extent = c.shape(0)[axis];
  const std::int64_t length = c.has(1)              ? c.constant_int(1, "the length")
                              : inverse && onesided ? 2 * (extent - 1)
                                                    : extent;
  if (length < 1 || length > kLargestMatrix) OpContext::unsupported(fmt::format("a transform of length {}", length));
  Complex x = parts_of(b, c.in(0));
  x.real = moved(b, x.real, axis, false);
  if (x.imaginary != kNone) x.imaginary = moved(b, x.imaginary, axis, false);
  if (inverse && onesided) {
    x = mirrored(b, x, length);
  } else {
    x.real = fitted(b, x.real, length);
    if (x.imaginary != kNone) x.imaginary = fitted(b, x.imaginary, length);
  }
  Complex y = transformed(c, x, length, onesided && !inverse ? length / 2 + 1 : length, inverse);
  y.real = moved(b, y.real, axis, true);
  y.imaginary = inverse && onesided ? kNone : moved(b, y.imaginary, axis, true);
  return {interleaved(b, y)};
}

/// [batch, frames, length]: overlapping pieces of a signal [batch, samples].
ValueId frames_of(OpContext& c, ValueId signal, std::int64_t frames, std::int64_t step, std::int64_t length) {
  c.importer().charge(frames * length);
  std::vector<std::int64_t> places;
  for (std::int64_t f = 0; f < frames; ++f)
    for (std::int64_t i = 0; i < length; ++i) places.push_back(f * step + i);
  return c.b.one(Op::gather, {signal, c.b.constant(Tensor::from<std::int64_t>(Shape{frames, length}, places))},
                 {{"axis", std::int64_t{1}}});
}

Values import_stft(OpContext& c) {
  GraphBuilder& b = c.b;
  const std::int64_t step = c.constant_int(1, "the frame step");
  const Shape shape = c.shape(0);
  if (shape.rank() != 2 && shape.rank() != 3) OpContext::unsupported("the signal needs two or three dimensions");
  const std::int64_t samples = shape[1];
  const std::int64_t length = c.has(3)   ? c.constant_int(3, "the frame length")
                              : c.has(2) ? c.shape(2).elements()
                                         : samples;
  if (step < 1 || length < 1 || length > samples || samples > kLargestMatrix)
    OpContext::unsupported(fmt::format("frames of {} every {} of {} samples", length, step, samples));
  const std::int64_t frames = 1 + (samples - length) / step;
  if (frames * length > kLargestMatrix) OpContext::unsupported("more than 2^24 samples in all frames");
  const bool onesided = c.integer("onesided", 1) != 0;
  Complex x = shape.rank() == 3 ? parts_of(b, c.in(0)) : Complex{c.in(0), kNone};
  const auto piece = [&](ValueId signal) {
    const ValueId cut = frames_of(c, signal, frames, step, length);
    if (!c.has(2)) return cut;
    return b.mul(cut, b.broadcast_to(fitted(b, c.in(2), length), b.shape(cut)));
  };
  x.real = piece(x.real);
  if (x.imaginary != kNone) x.imaginary = piece(x.imaginary);
  return {interleaved(b, transformed(c, x, length, onesided ? length / 2 + 1 : length, false))};
}

/// Triangles, evenly spaced on the mel scale, over the bins of a spectrum.
Values import_mel_weights(OpContext& c) {
  const std::int64_t mels = c.constant_int(0, "the number of mel bins"), length = c.constant_int(1, "the DFT's length");
  const std::int64_t rate = c.constant_int(2, "the sample rate"), bins = length / 2 + 1;
  if (mels < 1 || length < 1 || rate < 1 || mels > kLargestMatrix || length > kLargestMatrix ||
      mels * bins > kLargestMatrix)
    OpContext::unsupported(fmt::format("{} mel bins over a DFT of length {}", mels, length));
  const auto mel = [](double hertz) { return 2595 * std::log1p(hertz / 700) / std::numbers::ln10; };
  const double low = mel(c.constant(3, "the lower edge").as_double(0));
  const double high = mel(c.constant(4, "the upper edge").as_double(0));
  std::vector<std::int64_t> edge;
  for (std::int64_t i = 0; i < mels + 2; ++i) {
    const double at = static_cast<double>(i) * (high - low) / static_cast<double>(mels + 2) + low;
    const double hertz = 700 * std::expm1(at / 2595 * std::numbers::ln10);
    const double bin = std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
    if (!(bin >= 0 && bin < static_cast<double>(bins))) OpContext::unsupported("an edge lies outside of the spectrum");
    edge.push_back(static_cast<std::int64_t>(bin));
  }
  c.importer().charge(bins * mels);
  Tensor weights(DType::f64, Shape{bins, mels});
  auto values = weights.mutable_values<double>();
  for (std::int64_t m = 0; m < mels; ++m) {
    const std::int64_t left = edge[static_cast<std::size_t>(m)], centre = edge[static_cast<std::size_t>(m) + 1];
    const std::int64_t right = edge[static_cast<std::size_t>(m) + 2];
    const auto set = [&](std::int64_t bin, double value) { values[static_cast<std::size_t>(bin * mels + m)] = value; };
    if (centre == left) set(centre, 1);
    for (std::int64_t j = left; j <= centre && centre > left; ++j)
      set(j, static_cast<double>(j - left) / static_cast<double>(centre - left));
    for (std::int64_t j = centre; j < right; ++j)
      set(j, static_cast<double>(right - j) / static_cast<double>(right - centre));
  }
  const auto type = dtype_of_onnx(static_cast<std::int32_t>(c.integer("output_datatype", pb::TensorProto::FLOAT)),
                                  "attribute 'output_datatype'");
  return {c.b.constant(weights.cast(type))};
}

constexpr OpRow kSignalRows[] = {
    {"DFT", import_dft, 17},
    {"STFT", import_stft, 17},
    {"MelWeightMatrix", import_mel_weights, 17},
};

}  // namespace

std::span<const OpRow> signal_rows() { return kSignalRows; }

}  // namespace weft::onnx
