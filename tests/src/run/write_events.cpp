// Writes event files into a folder as two jobs would: steps 1 to 5, then, resumed after step 3, steps 4 to 6.
#include <cmath>
#include <cstdio>

#include "src/run/event_writer.hpp"
#include "weft/error.hpp"

namespace {

void write_steps(std::int64_t resumed, std::int64_t last, double offset, const char* folder) {
  weft::PosixFileSystem files;
  weft::EventWriter writer(files, folder, resumed);
  for (std::int64_t step = resumed + 1; step <= last; ++step) {
    const weft::ScalarValue values[] = {{"train/loss", 1.0 / static_cast<double>(step) + offset},
                                        {"train/accuracy", step == 2 ? NAN : 0.5}};
    writer.write(step, values);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  try {
    write_steps(0, 5, 0, arguments[1]);
    write_steps(3, 6, 10, arguments[1]);
  } catch (const weft::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
  return 0;
}
