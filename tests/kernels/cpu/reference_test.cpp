// The reference kernels against the host interpreter, hostile operands included.
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/kernels/cpu/check_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::random_tensor;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kInt64Min = INT64_MIN, kInt64Max = INT64_MAX;

/// Indices in [-extent, 2 extent), most inside, with the extremes of i64 among them.
Tensor hostile_indices(const Shape& shape, std::int64_t extent, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::uniform_int_distribution<std::int64_t> inside(0, std::max<std::int64_t>(extent, 1) - 1);
  Tensor t(DType::i64, shape);
  const std::int64_t hostile[] = {-1, extent, kInt64Min, kInt64Max, -extent, extent + 1, std::int64_t{1} << 32};
  std::int64_t n = 0;
  for (std::int64_t& i : t.mutable_values<std::int64_t>())
    i = ++n % 5 == 0 ? hostile[static_cast<std::size_t>(n / 5) % std::size(hostile)] : inside(engine);
  return t;
}

TEST(ReferenceKernels, GatherReadsNaNOrZeroOutsideTheRange) {
  for (const DType type : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::u8, DType::boolean})
    for (const int axis : {0, 1, 2}) {
      Body body;
      const Shape shape{5, 7, 3};
      const ValueId x = body.in(random_tensor(type, shape, 1, 0, 9));
      const ValueId i = body.in(hostile_indices(Shape{4, 6}, shape[axis], 2));
      body.out(body.b.one(Op::gather, {x, i}, {{"axis", std::int64_t{axis}}}));
      EXPECT_EQ(check(std::move(body), 0), "reference");
    }
}

TEST(ReferenceKernels, EmbeddingRowsAreGatheredAndTheirGradientsAddedUp) {
  for (const std::int64_t width : {1, 3, 64, 1300}) {
    const Shape table{50, width};
    Body forward, backward;
    const Tensor indices = hostile_indices(Shape{9, 40}, 50, 3);
    forward.out(forward.b.one(Op::gather, {forward.in(random_tensor(DType::f32, table, 1)), forward.in(indices)},
                              {{"axis", std::int64_t{0}}}));
    EXPECT_EQ(check(std::move(forward), 0), "reference");
    const ValueId i = backward.in(indices), dy = backward.in(random_tensor(DType::f32, Shape{9, 40, width}, 2));
    backward.out(backward.b.one(Op::scatter_add, {i, dy}, {{"axis", std::int64_t{0}}, {"shape", table.extents()}}));
    EXPECT_EQ(check(std::move(backward), 0), "reference");
  }
}

TEST(ReferenceKernels, ScatterAddGivesTheSameBitsAtAnyThreadCount) {
  // One row takes most updates, as the padding token does.
  Tensor indices = hostile_indices(Shape{3000}, 40, 3);
  std::int64_t n = 0;
  for (std::int64_t& i : indices.mutable_values<std::int64_t>())
    if (++n % 3 != 0) i = 7;
  for (const int threads : {1, 2, 3})
    for (const DType type : {DType::f32, DType::bf16, DType::f16, DType::i32, DType::u8}) {
      Body body;
      const ValueId i = body.in(indices), u = body.in(random_tensor(type, Shape{2, 3000, 17}, 4, 0, 9));
      body.out(body.b.one(Op::scatter_add, {i, u}, {{"axis", std::int64_t{1}}, {"shape", Dims{2, 40, 17}}}));
      EXPECT_EQ(check(std::move(body), 0, {threads, CpuIsa::automatic, true}), "reference");
    }
}

TEST(ReferenceKernels, ScattersJoinUpdatesInOrder) {
  for (const DType type : {DType::f32, DType::bf16, DType::i64, DType::i8, DType::u16})
    for (const char* kind : {"replace", "add", "mul", "max", "min"}) {
      Body nd, elements;
      const ValueId x = nd.in(random_tensor(type, Shape{4, 5, 6}, 1, 0, 4));
      const ValueId tuples = nd.in(hostile_indices(Shape{30, 2}, 4, 2));
      const ValueId u = nd.in(random_tensor(type, Shape{30, 6}, 3, 0, 4));
      nd.out(nd.b.one(Op::scatter_nd, {x, tuples, u}, {{"kind", std::string(kind)}}));
      EXPECT_EQ(check(std::move(nd), 0), "reference");
      const ValueId x2 = elements.in(random_tensor(type, Shape{4, 5, 6}, 1, 0, 4));
      const ValueId at = elements.in(hostile_indices(Shape{3, 9, 4}, 5, 2));
      const ValueId u2 = elements.in(random_tensor(type, Shape{3, 9, 4}, 3, 0, 4));
      elements.out(
          elements.b.one(Op::scatter_elements, {x2, at, u2}, {{"axis", std::int64_t{1}}, {"kind", std::string(kind)}}));
      EXPECT_EQ(check(std::move(elements), 0), "reference");
    }
}

TEST(ReferenceKernels, GathersByTuplesAndElementsAgree) {
  for (const std::int64_t batch : {0, 1}) {
    Body body;
    const ValueId x = body.in(random_tensor(DType::f32, Shape{4, 5, 6, 2}, 1));
    const ValueId i = body.in(hostile_indices(batch == 0 ? Shape{9, 3} : Shape{4, 9, 2}, 4, 2));
    body.out(body.b.one(Op::gather_nd, {x, i}, {{"batch_dims", batch}}));
    EXPECT_EQ(check(std::move(body), 0), "reference");
  }
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, Shape{4, 5, 6}, 1));
  const ValueId i = body.in(hostile_indices(Shape{4, 9, 3}, 5, 2));
  body.out(body.b.one(Op::gather_elements, {x, i}, {{"axis", std::int64_t{1}}}));
  EXPECT_EQ(check(std::move(body), 0), "reference");
}

TEST(ReferenceKernels, IndicesMayHaveAnyIntegerType) {
  for (const DType type :
       {DType::i64, DType::i32, DType::i16, DType::i8, DType::u64, DType::u32, DType::u16, DType::u8}) {
    Body body;
    const ValueId x = body.in(random_tensor(DType::f32, Shape{5, 2}, 1));
    const ValueId i = body.in(hostile_indices(Shape{30}, 5, 2).cast(type));
    body.out(body.b.one(Op::gather, {x, i}, {{"axis", std::int64_t{0}}}));
    EXPECT_EQ(check(std::move(body), 0), "reference");
  }
}

TEST(ReferenceKernels, EmptyTablesIndicesAndSlicesAreFine) {
  struct Case {
    Shape x, indices;
  };
  for (const Case& c : {Case{{0, 3}, {4}}, Case{{5, 0}, {4}}, Case{{5, 3}, {0}}, Case{{5, 3}, {}}}) {
    Body forward, backward;
    const ValueId x = forward.in(random_tensor(DType::f32, c.x, 1));
    const ValueId i = forward.in(hostile_indices(c.indices, c.x[0], 2));
    forward.out(forward.b.one(Op::gather, {x, i}, {{"axis", std::int64_t{0}}}));
    const Shape y = forward.b.shape(2);
    EXPECT_EQ(check(std::move(forward), 0), "reference");
    const ValueId at = backward.in(hostile_indices(c.indices, c.x[0], 2));
    const ValueId u = backward.in(random_tensor(DType::f32, y, 3));
    backward.out(backward.b.one(Op::scatter_add, {at, u}, {{"axis", std::int64_t{0}}, {"shape", c.x.extents()}}));
    EXPECT_EQ(check(std::move(backward), 0), "reference");
  }
}

TEST(ReferenceKernels, ArgmaxFindsNaNAndTheRightOneOfEquals) {
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
    for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::i32, DType::u8})
      for (const Op op : {Op::argmax, Op::argmin})
        for (const std::int64_t axis : {0, 1, 2})
          for (const std::int64_t last : {0, 1}) {
            Tensor x = random_tensor(DType::f32, Shape{40, 33, 5}, 1, 0, 6).cast(DType::i32).cast(DType::f32);
            for (const std::size_t nan : {std::size_t{7}, std::size_t{12}, std::size_t{500}, std::size_t{503}})
              x.mutable_values<float>()[nan] = kNaN;
            Body body;
            const ValueId v = body.in(is_float(type) ? x.cast(type) : random_tensor(type, x.shape(), 1, 0, 6));
            body.out(body.b.one(op, {v}, {{"axis", axis}, {"last", last}}));
            EXPECT_EQ(check(std::move(body), 0, {2, isa, true}), "reference");
          }
}

TEST(ReferenceKernels, ArgmaxOfInt64ExtremesIsExact) {
  Body body;
  body.out(body.b.one(
      Op::argmax,
      {body.in(Tensor::from<std::int64_t>({2, 3}, {kInt64Max - 1, kInt64Max, 0, kInt64Min, kInt64Min, kInt64Min + 1}))},
      {{"axis", std::int64_t{1}}, {"last", std::int64_t{0}}}));
  EXPECT_EQ(check(std::move(body), 0), "reference");
}

TEST(ReferenceKernels, CumulativeSumsAgreeForwardsBackwardsAndExclusive) {
  for (const DType type : {DType::f32, DType::f64, DType::f16, DType::i64, DType::i8, DType::u32})
    for (const std::int64_t axis : {0, 1, 2})
      for (const std::int64_t flags : {0, 1, 2, 3}) {
        Body body;
        const ValueId x = body.in(random_tensor(type, Shape{3, 70, 140}, 1, 0, 9));
        body.out(body.b.one(Op::cumsum, {x}, {{"axis", axis}, {"exclusive", flags % 2}, {"reverse", flags / 2}}));
        EXPECT_EQ(check(std::move(body), 0), "reference");
      }
}

TEST(ReferenceKernels, TopKSortsTiesByIndexAndPutsNaNWhereItBelongs) {
  for (const DType type : {DType::f32, DType::f16, DType::i64})
    for (const std::int64_t k : {0, 1, 5, 37})
      for (const std::int64_t axis : {0, 1})
        for (const std::int64_t largest : {0, 1}) {
          Tensor x = random_tensor(DType::f32, Shape{37, 41}, 1, 0, 12).cast(DType::i32).cast(DType::f32);
          if (is_float(type))
            for (const std::size_t nan : {std::size_t{3}, std::size_t{30}, std::size_t{44}})
              x.mutable_values<float>()[nan] = kNaN;
          Body body;
          const auto y =
              body.b.node(Op::top_k, {body.in(x.cast(type))}, {{"axis", axis}, {"k", k}, {"largest", largest}});
          body.out(y[0]);
          body.out(y[1]);
          EXPECT_EQ(check(std::move(body), 0), "reference");
        }
}

TEST(ReferenceKernels, OneResultOfTwoMayBeAskedForAlone) {
  for (const std::size_t result : {std::size_t{0}, std::size_t{1}}) {
    Body body;
    const auto y = body.b.node(Op::top_k, {body.in(random_tensor(DType::f32, Shape{4, 9}, 1))},
                               {{"axis", std::int64_t{1}}, {"k", std::int64_t{3}}, {"largest", std::int64_t{1}}});
    body.out(y[result]);
    EXPECT_EQ(check(std::move(body), 0), "reference");
  }
}

TEST(ReferenceKernels, RandomBitsAgreeWhereverTheSampleDimensionIs) {
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
    for (const std::int64_t sample_dim : {-1, 0, 1, 2})
      for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{0xfffffffe}, std::int64_t{-3}}) {
        Body body;
        const ValueId seed = body.in(Tensor::scalar<std::int64_t>(0x123456789abcdef)),
                      step = body.in(Tensor::scalar<std::int64_t>(77)),
                      at = body.in(Tensor::scalar<std::int64_t>(offset));
        body.out(body.b.one(Op::random_bits, {seed, step, at},
                            {{"id", std::int64_t{9}}, {"shape", Dims{7, 13, 101}}, {"sample_dim", sample_dim}}));
        EXPECT_EQ(check(std::move(body), 0, {3, isa, true}), "reference");
      }
}

TEST(ReferenceKernels, APartOfRandomBitsIsThePartOfTheWhole) {
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
    for (const std::int64_t sample_dim : {-1, 0, 1, 2}) {
      Body body;
      const auto scalar = [&](std::int64_t v) { return body.in(Tensor::scalar<std::int64_t>(v)); };
      const ValueId seed = scalar(5), step = scalar(77), at = scalar(3),
                    start = body.in(Tensor::from<std::int64_t>({3}, {2, 5, 30}));
      body.out(body.b.one(Op::random_bits, {seed, step, at, start},
                          {{"id", std::int64_t{9}},
                           {"shape", Dims{4, 6, 41}},
                           {"sample_dim", sample_dim},
                           {"whole", Dims{7, 13, 101}}}));
      EXPECT_EQ(check(std::move(body), 0, {3, isa, true}), "reference");
    }
}

TEST(ReferenceKernels, ScalarOperandsMayBeConstantsOfTheBody) {
  Body body;
  GraphBuilder& b = body.b;
  const ValueId seed = b.constant(Tensor::scalar<std::int64_t>(5)), step = body.in(Tensor::scalar<std::int64_t>(6));
  body.out(b.one(Op::random_bits, {seed, step, seed},
                 {{"id", std::int64_t{1}}, {"shape", Dims{5}}, {"sample_dim", std::int64_t{0}}}));
  EXPECT_EQ(check(std::move(body), 0), "reference");
}

TEST(ReferenceKernels, ReductionsOfNothingGiveTheirNeutralValue) {
  for (const DType type : {DType::f32, DType::bf16, DType::i8, DType::u64})
    for (const Op op : {Op::reduce_sum, Op::reduce_max, Op::reduce_min, Op::reduce_prod})
      for (const Dims& dims : {Dims{1}, Dims{0, 1}, Dims{0}}) {
        Body body;
        body.out(body.b.reduce(op, body.in(Tensor(type, Shape{3, 0, 2})), dims));
        EXPECT_EQ(check(std::move(body), 0), "reference");
      }
}

}  // namespace
}  // namespace weft
