// main of tests that run under mpirun: joins the world, lets rank 0 print, and every rank its failures.
#include <gtest/gtest.h>

#include <cstdio>

#include "comm/mpi/mpi_runtime.hpp"
#include "tests/comm/mpi/world.hpp"
#include "weft/error.hpp"

namespace weft::test {
namespace {

Communicator* joined = nullptr;

class PrintFailures : public ::testing::EmptyTestEventListener {
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.failed())
      std::fprintf(stderr, "[rank %d] %s:%d\n%s\n", world().rank(), result.file_name(), result.line_number(),
                   result.message());
  }
};

}  // namespace

Communicator& world() { return *joined; }

}  // namespace weft::test

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  weft::MpiOptions options;
  options.timeout = std::chrono::seconds(60);
  weft::MpiRuntime runtime(weft::detect_launch(), options);
  const std::unique_ptr<weft::Communicator> world = runtime.world();
  weft::test::joined = world.get();
  if (world->rank() != 0) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new weft::test::PrintFailures);
  }
  return RUN_ALL_TESTS();
}
