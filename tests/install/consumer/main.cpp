// Builds a graph, computes it with the interpreter, and reads a job: what an installed libweft must let others do.
#include <cmath>
#include <cstdio>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "src/job/job_file.hpp"
#include "weft/error.hpp"

namespace {

float sum_of_squares(float a, float b) {
  weft::GraphBuilder builder;
  const auto x = builder.input("x", weft::InputRole::feed, {weft::DType::f32, weft::Shape{2}});
  builder.output("y", weft::OutputRole::fetch, builder.reduce(weft::Op::reduce_sum, builder.mul(x, x), {0}));
  const auto outputs =
      weft::interpret(std::move(builder).take(), {{"x", weft::Tensor::from<float>(weft::Shape{2}, {a, b})}});
  return outputs.at("y").values<float>()[0];
}

}  // namespace

int main() try {
  const float y = sum_of_squares(3, 4);
  const auto job = weft::parse_job("name: outside\nmodel: m.onnx\ndata: {train: t.h5}\nbatch: 64\n", "inline", ".");
  std::printf("%s: batch %lld, sum of squares %g\n", job.name.c_str(), static_cast<long long>(job.batch),
              static_cast<double>(y));
  return y == 25.0F && job.batch == 64 ? 0 : 1;
} catch (const weft::Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return static_cast<int>(e.exit_code());
}
