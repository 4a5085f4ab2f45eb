// Loops, locals and memory of generated kernels.
#include <gtest/gtest.h>

#include <numeric>

#include "jit_testing.hpp"

namespace weft::cpu::testing {
namespace {

using loops::Builder;
using loops::Kernel;
using loops::LoopKind;

TEST(GeneratedLoops, SumsOfRowsAreRightForEveryWidthAndNumberOfLanes) {
  for (const CpuIsa isa : instruction_sets())
    for (const int lanes : {1, 2, 4, 8, 16, 32, 64})
      for (std::int64_t columns = 1; columns < 150; columns += columns < 70 ? 1 : 13) {
        Kernel kernel;
        Builder b(kernel);
        const auto in = kernel.add_buffer({DType::f32, 0, 0}), out = kernel.add_buffer({DType::f32, 1, 0});
        const auto row = kernel.add_index(), column = kernel.add_index();
        const auto sum = kernel.add_local({DType::f32, true, lanes});
        const auto element = b.add(b.mul(b.index(row), b.integer(columns)), b.index(column));
        kernel.phases.push_back({row,
                                 3,
                                 0,
                                 {loops::declare(sum, b.real(0)),
                                  loops::loop_of(LoopKind::vector, column, b.integer(columns),
                                                 {loops::assign(sum, b.add(b.local(sum), b.load(in, element)))}, lanes),
                                  loops::store(out, b.index(row), b.join_lanes(sum, Op::add))}});
        std::vector<float> x(static_cast<std::size_t>(3 * columns)), y(3, -1);
        std::iota(x.begin(), x.end(), 1.0f);
        compile_and_run(isa, kernel, {bytes_of(x), bytes_of(y)});
        for (std::int64_t r = 0; r < 3; ++r)
          ASSERT_EQ(y[static_cast<std::size_t>(r)],
                    std::accumulate(x.begin() + r * columns, x.begin() + (r + 1) * columns, 0.0f))
              << columns << " columns by " << lanes << " on " << name_of(isa);
      }
}

TEST(GeneratedLoops, StridesFromMinusTwoToFiveAndTablesReachTheirElements) {
  constexpr std::int64_t kExtent = 45;
  for (const CpuIsa isa : instruction_sets())
    for (const DType type : {DType::f32, DType::f64, DType::i8, DType::bf16, DType::i64, DType::boolean})
      for (std::int64_t stride = -2; stride <= 6; ++stride)
        for (const bool scatter : {false, true}) {
          if (scatter && stride == 0) continue;
          Kernel kernel;
          Builder b(kernel);
          const auto in = kernel.add_buffer({type, 0, 0}), out = kernel.add_buffer({type, 1, 0});
          const auto table = kernel.add_buffer({DType::i32, 2, 0});
          const auto i = kernel.add_index(), j = kernel.add_index();
          auto element =
              b.add(b.mul(b.index(j), b.integer(stride)), b.integer(stride < 0 ? -stride * (kExtent - 1) : 0));
          if (stride == 6) element = b.cast(b.load(table, b.index(j)), DType::i64);
          const auto from = scatter ? b.index(j) : element, to = scatter ? element : b.index(j);
          kernel.phases.push_back({i,
                                   1,
                                   0,
                                   {loops::loop_of(LoopKind::vector, j, b.integer(kExtent),
                                                   {loops::store(out, to, b.load(in, from))}, 16)}});
          std::vector<std::int32_t> at(kExtent);
          for (std::int64_t k = 0; k < kExtent; ++k)
            at[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(
                stride == 6 ? (k * 7) % kExtent : k * stride + (stride < 0 ? -stride * (kExtent - 1) : 0));
          const std::size_t size = size_of(type), reach = 6 * kExtent;
          std::vector<std::byte> x = interesting_values(type, reach, 5), y(reach * size), want(reach * size);
          for (std::size_t k = 0; k < kExtent; ++k) {
            const auto source = scatter ? k : static_cast<std::size_t>(at[k]);
            const auto target = scatter ? static_cast<std::size_t>(at[k]) : k;
            std::memcpy(want.data() + target * size, x.data() + source * size, size);
          }
          compile_and_run(isa, kernel, {x.data(), y.data(), bytes_of(at)});
          ASSERT_EQ(first_difference(type, want.data(), y.data(), reach), -1)
              << name_of(type) << " stride " << stride << (scatter ? " scattered" : " gathered") << " on "
              << name_of(isa);
        }
}

TEST(GeneratedLoops, LoopsWhoseExtentIsLoadedRunAsOftenAsItSays) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto in = kernel.add_buffer({DType::i64, 0, 0}), out = kernel.add_buffer({DType::i64, 1, 0});
    const auto i = kernel.add_index(), j = kernel.add_index(), k = kernel.add_index();
    const auto sum = kernel.add_local({DType::i64, true, 0});
    // out[i] = sum of 100 j + k over j < in[i], k < j.
    kernel.phases.push_back(
        {i,
         6,
         0,
         {loops::declare(sum, b.integer(0)),
          loops::loop_of(
              LoopKind::serial, j, b.load(in, b.index(i)),
              {loops::loop_of(
                  LoopKind::serial, k, b.index(j),
                  {loops::assign(sum, b.add(b.local(sum), b.add(b.mul(b.index(j), b.integer(100)), b.index(k))))})}),
          loops::store(out, b.index(i), b.local(sum))}});
    std::vector<std::int64_t> x{0, 1, -3, 2, 9, 40}, y(6, 5);
    compile_and_run(isa, kernel, {bytes_of(x), bytes_of(y)});
    for (std::size_t r = 0; r < 6; ++r) {
      std::int64_t want = 0;
      for (std::int64_t p = 0; p < x[r]; ++p)
        for (std::int64_t q = 0; q < p; ++q) want += 100 * p + q;
      EXPECT_EQ(y[r], want) << r;
    }
  }
}

TEST(GeneratedLoops, AVectorLoopOfLoadedExtentDoesTheRestOneByOne) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto counts = kernel.add_buffer({DType::i64, 0, 0}), out = kernel.add_buffer({DType::f32, 1, 0});
    const auto sums = kernel.add_buffer({DType::f32, 2, 0});
    const auto i = kernel.add_index(), j = kernel.add_index();
    const auto sum = kernel.add_local({DType::f32, true, 32});
    const auto old = b.load(out, b.add(b.mul(b.index(i), b.integer(100)), b.index(j)));
    kernel.phases.push_back({i,
                             5,
                             0,
                             {loops::declare(sum, b.real(0)),
                              loops::loop_of(LoopKind::vector, j, b.load(counts, b.index(i)),
                                             {loops::assign(sum, b.add(b.local(sum), old)),
                                              loops::store(out, b.add(b.mul(b.index(i), b.integer(100)), b.index(j)),
                                                           b.add(old, b.real(1)))},
                                             32),
                              loops::store(sums, b.index(i), b.join_lanes(sum, Op::add))}});
    std::vector<std::int64_t> x{0, 1, 31, 64, 99};
    std::vector<float> y(500), s(5, -1);
    std::iota(y.begin(), y.end(), 0.0f);
    compile_and_run(isa, kernel, {bytes_of(x), bytes_of(y), bytes_of(s)});
    for (std::size_t r = 0; r < 5; ++r) {
      float want = 0;
      for (std::size_t c = 0; c < 100; ++c) {
        const auto before = static_cast<float>(100 * r + c);
        const bool touched = static_cast<std::int64_t>(c) < x[r];
        EXPECT_EQ(y[100 * r + c], touched ? before + 1 : before);
        if (touched) want += before;
      }
      EXPECT_EQ(s[r], want);
    }
  }
}

TEST(GeneratedLoops, VariablesSeeEveryAssignmentBeforeThem) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto out = kernel.add_buffer({DType::i64, 0, 0});
    const auto i = kernel.add_index(), j = kernel.add_index(), k = kernel.add_index();
    const auto x = kernel.add_local({DType::i64, true, 0}), y = kernel.add_local({DType::i64, true, 0});
    const auto product = b.mul(b.local(x), b.local(y));  // one expression, read in four places with four values
    const auto at = [&](std::int64_t slot) { return b.add(b.mul(b.index(i), b.integer(4)), b.integer(slot)); };
    kernel.phases.push_back(
        {i,
         2,
         0,
         {loops::declare(x, b.integer(2)), loops::declare(y, b.add(b.index(i), b.integer(3))),
          loops::store(out, at(0), product), loops::assign(x, product), loops::store(out, at(1), product),
          loops::loop_of(
              LoopKind::serial, j, b.integer(3),
              {loops::assign(x, b.add(product, b.integer(1))),
               loops::loop_of(LoopKind::unroll, k, b.integer(2), {loops::assign(y, b.add(b.local(y), b.index(k)))})}),
          loops::store(out, at(2), product), loops::assign(y, b.integer(1)), loops::store(out, at(3), product)}});
    std::vector<std::int64_t> got(8);
    compile_and_run(isa, kernel, {bytes_of(got)});
    for (std::int64_t p = 0; p < 2; ++p) {
      std::int64_t u = 2, v = p + 3;
      std::vector<std::int64_t> want{u * v};
      u = u * v;
      want.push_back(u * v);
      for (int q = 0; q < 3; ++q) {
        u = u * v + 1;
        v += 1;
      }
      want.push_back(u * v);
      want.push_back(u);
      EXPECT_EQ(std::vector<std::int64_t>(got.begin() + 4 * p, got.begin() + 4 * p + 4), want);
    }
  }
}

TEST(GeneratedLoops, ALocalDeclaredInTwoPlacesHasTheValueOfEach) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto out = kernel.add_buffer({DType::i64, 0, 0});
    const auto i = kernel.add_index(), j = kernel.add_index(), k = kernel.add_index();
    const auto x = kernel.add_local({DType::i64, false, 0});
    const auto square = b.mul(b.local(x), b.local(x));
    kernel.phases.push_back({i,
                             1,
                             0,
                             {loops::loop_of(LoopKind::serial, j, b.integer(3),
                                             {loops::declare(x, b.integer(5)), loops::store(out, b.index(j), square)}),
                              loops::loop_of(LoopKind::vector, k, b.integer(3),
                                             {loops::declare(x, b.add(b.index(k), b.integer(7))),
                                              loops::store(out, b.add(b.index(k), b.integer(3)), square)},
                                             4)}});
    std::vector<std::int64_t> got(6);
    compile_and_run(isa, kernel, {bytes_of(got)});
    EXPECT_EQ(got, (std::vector<std::int64_t>{25, 25, 25, 49, 64, 81}));
  }
}

TEST(GeneratedLoops, PrivateBuffersHoldWhatWasStored) {
  for (const CpuIsa isa : instruction_sets())
    for (const DType type : {DType::f32, DType::boolean, DType::bf16, DType::i16}) {
      Kernel kernel;
      Builder b(kernel);
      const auto in = kernel.add_buffer({type, 0, 0}), out = kernel.add_buffer({type, 1, 0});
      const auto tile = kernel.add_buffer({type, -1, 40});
      const auto i = kernel.add_index(), j = kernel.add_index(), k = kernel.add_index();
      // out[i][39 - j] = in[i][j], through the tile.
      const auto element = [&](std::int32_t column) {
        return b.add(b.mul(b.index(i), b.integer(40)), b.index(column));
      };
      kernel.phases.push_back(
          {i,
           3,
           0,
           {loops::loop_of(LoopKind::vector, j, b.integer(40), {loops::store(tile, b.index(j), b.load(in, element(j)))},
                           32),
            loops::loop_of(LoopKind::vector, k, b.integer(40),
                           {loops::store(out, element(k), b.load(tile, b.sub(b.integer(39), b.index(k))))}, 32)}});
      std::vector<std::byte> x = interesting_values(type, 120, 9), y(x.size());
      compile_and_run(isa, kernel, {x.data(), y.data()});
      for (std::size_t row = 0; row < 3; ++row)
        for (std::size_t c = 0; c < 40; ++c)
          EXPECT_EQ(first_difference(type, x.data() + (40 * row + c) * size_of(type),
                                     y.data() + (40 * row + 39 - c) * size_of(type), 1),
                    -1);
    }
}

}  // namespace
}  // namespace weft::cpu::testing
